import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type Outcome, runCommand, startCommand, startOnTerminal, startProgram } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, onFreePorts } from "../support/ports.ts";
import type { Process } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { tempDir } from "../support/temp-dir.ts";

// Some tests start several processes one after the other, each of which takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let service: Service;
let id: string;
const running: Process[] = [];

beforeAll(async () => {
  service = await startService([]);
});
afterAll(() => service.stop());
beforeEach(async () => {
  id = await newSession(service);
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.kill()));
});

interface Answer {
  readonly downloadSessionId: string;
  readonly downloadSession: { readonly state: string };
}

async function call(url: string, method: string, body: object): Promise<Answer> {
  const answer = await fetch(`${url}/content.library.item.v1.DownloadSessionService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(200);
  return (await answer.json()) as Answer;
}

async function newSession({ url }: { url: string }, libraryItemId = "photon"): Promise<string> {
  return (await call(url, "Create", { createSpec: { libraryItemId } })).downloadSessionId;
}

const sessions = (...args: string[]) => runCommand(["sessions", ...args, "--server", service.url]);

/** Starts the command in a process of its own. */
async function startAlone(...args: string[]): Promise<Process> {
  const child = await startProgram(["sessions", ...args]);
  running.push(child);
  return child;
}

const json = ({ stdout }: Pick<Outcome, "stdout">) =>
  stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** Time for a process to start on a busy machine. */
const patience = { withinMs: 15_000 };

describe("list", () => {
  test("writes a table of the sessions, oldest first, with what each is about", async () => {
    const iso = await newSession(service, "tools-iso");
    await call(service.url, "KeepAlive", { downloadSessionId: iso, progress: 42 });
    const { code, stdout, stderr } = await sessions("list");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [titles, ...rows] = stdout.trimEnd().split("\n");
    expect(titles).toMatch(/^ID +ITEM +STATE +PROGRESS +BYTES {2}EXPIRES IN$/);
    const own = rows.filter((row) => row.includes(id) || row.includes(iso)).map((row) => row.split(/ {2,}/));
    expect(own).toEqual([
      [id, "demo/photon", "ACTIVE", "0%", "0 B of 8.59 KiB", expect.stringMatching(/^(5m|4m \d+s)$/)],
      [iso, "demo/tools-iso", "ACTIVE", "42%", "0 B of 4 KiB", expect.stringMatching(/^(5m|4m \d+s)$/)],
    ]);
  });

  test("writes an object a line with --json, of one item with --item", async () => {
    const iso = await newSession(service, "tools-iso");
    const outcome = await sessions("list", "--json", "--item", "demo/tools-iso");
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(json(outcome)).toContainEqual({
      id: iso,
      library_item_id: "tools-iso",
      library_item_content_version: expect.any(String),
      state: "ACTIVE",
      client_progress: 0,
      expiration_time: expect.stringMatching(/^\d{4}-.*Z$/),
      bytes_transferred: 0,
      size: 4096,
    });
    expect(json(outcome).map((each) => each.library_item_id)).not.toContain("photon");
  });

  test("is what sessions does without a command", async () => {
    expect(json(await sessions("--json", "--item", "photon")).map((each) => each.id)).toContain(id);
  });

  test("--state and --limit choose the sessions of a state, and the newest ones", async () => {
    const iso = await newSession(service, "tools-iso");
    await call(service.url, "Cancel", { downloadSessionId: iso });
    const last = await newSession(service);
    const ids = async (...args: string[]) =>
      json(await sessions("list", "--json", ...args)).map((each) => each.id);
    const canceled = await ids("--state", "CANCELED");
    expect(canceled).toContain(iso);
    expect(canceled).not.toContain(id);
    expect(await ids("--limit", "2")).toEqual([iso, last]);
    expect(await ids("--limit", "1", "--state", "CANCELED")).toEqual([iso]);
    expect(await ids("--limit", "1", "--state", "ACTIVE", "--item", "photon")).toEqual([last]);
  });

  test("shows the newest first on a terminal, without the columns that do not fit", async () => {
    const last = await newSession(service);
    const rows = async (columns: number) => {
      const args = ["sessions", "--server", service.url, "--limit", "2"];
      const { stdout } = await runCommand(args, { isTerminal: true, columns });
      return stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/ {2,}/));
    };
    expect((await rows(100)).map(([each]) => each)).toEqual(["ID", last, id]);
    expect(await rows(70)).toEqual([
      ["ID", "ITEM", "STATE", "PROGRESS"],
      [last, "demo/photon", "ACTIVE", "0%"],
      [id, "demo/photon", "ACTIVE", "0%"],
    ]);
    expect(await rows(40)).toEqual([["ID"], [last], [id]]);
  });

  test("shows the bytes of a download that runs", async () => {
    const files = `${service.url}/api/content/library/item/download-session/${id}/file`;
    const prepare = () =>
      fetch(`${files}?action=prepare`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ file_name: "photon.ovf" }),
      });
    const link = await eventually(
      "the link",
      async () =>
        ((await (await prepare()).json()) as { download_endpoint?: { uri: string } }).download_endpoint?.uri,
    );
    const size = (await (await fetch(link)).arrayBuffer()).byteLength;
    const session = await eventually("the bytes", async () => {
      const listed = json(await sessions("list", "--json", "--limit", "1"))[0];
      return listed.bytes_transferred > 0 ? listed : undefined;
    });
    expect(session).toMatchObject({ id, bytes_transferred: size, size: expect.any(Number) });
    expect(session.size).toBeGreaterThan(size);
    expect((await sessions("--limit", "1")).stdout).toMatch(
      /^ID .* PROGRESS +BYTES {2}EXPIRES IN\n.* ACTIVE +0% {2}[\d.]+ K?i?B of [\d.]+ KiB /,
    );
  });

  test("an item that is not there is 3", async () => {
    expect(await sessions("list", "--item", "nothing")).toEqual({
      code: 3,
      stdout: "",
      stderr: "downlease: there is no item 'nothing'. See downlease items.\n",
    });
  });
});

describe("show", () => {
  test("prints everything about a session and its files", async () => {
    const { code, stdout, stderr } = await sessions("show", id);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      new RegExp(
        [
          `^session {5}${id}`,
          "item {8}demo/photon \\(photon\\)",
          "version {5}[0-9a-f]+",
          "state {7}ACTIVE",
          "progress {4}0%",
          "expires in {2}\\w+( \\w+)? \\(\\d{4}-.*Z\\)\n",
        ].join("\n"),
      ),
    );
  });

  test("does not hold the session that it shows", async () => {
    const expiry = async () => (await call(service.url, "Get", { downloadSessionId: id })).downloadSession;
    const before = await expiry();
    expect((await sessions("show", id)).stdout).toContain("photon.ovf");
    expect(await expiry()).toEqual(before);
  });

  test("prints why a session is in ERROR", async () => {
    await call(service.url, "Fail", { downloadSessionId: id, clientErrorMessage: "disk full" });
    expect((await sessions("show", id)).stdout).toMatch(/^error {7}disk full$/m);
    expect(json(await sessions("show", id, "--json"))).toEqual([
      expect.objectContaining({ id, state: "ERROR", error_message: "disk full" }),
    ]);
  });
});

describe("commands that change a session", () => {
  const stateOf = async () =>
    (await call(service.url, "Get", { downloadSessionId: id })).downloadSession.state;

  test("keep-alive prints how long the lease lasts, and the highest progress", async () => {
    const first = await sessions("keep-alive", id, "--progress", "30");
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(first.stdout).toMatch(new RegExp(`^${id} expires in (5m|4m \\d+s), progress 30%\n$`));
    const second = json(await sessions("keep-alive", id, "--json"));
    expect(second).toEqual([{ id, client_progress: 30, expiration_time: expect.any(String) }]);
  });

  test("cancel, once", async () => {
    expect(await sessions("cancel", id)).toEqual({ code: 0, stdout: `${id} is canceled\n`, stderr: "" });
    expect(await stateOf()).toBe("STATE_CANCELED");
    const again = await sessions("cancel", id, "--json");
    expect(again).toMatchObject({ code: 8, stdout: "" });
    expect(again.stderr).toMatch(/^downlease: .* is CANCELED, not ACTIVE\..*\n$/);
  });

  test("cancel and delete take many ids, and go on after one that fails", async () => {
    const other = await newSession(service);
    const outcome = await sessions("cancel", id, "nothing", other, id);
    expect(outcome).toMatchObject({ code: 3, stdout: `${id} is canceled\n${other} is canceled\n` });
    expect(outcome.stderr).toMatch(
      /^downlease: .*nothing.*\ndownlease: 1 of 3 sessions could not be ended\n$/,
    );
    expect(json(await sessions("delete", id, other, "--json"))).toEqual([
      { id, deleted: true },
      { id: other, deleted: true },
    ]);
    const unreachable = await runCommand(["sessions", "delete", "a", "b", "--server", "http://127.0.0.1:1"]);
    expect(unreachable.stderr.match(/can't reach/g)).toHaveLength(1);
  });

  test("fail says what went wrong", async () => {
    expect(json(await sessions("fail", id, "-m", "disk full", "--json"))).toEqual([
      { id, state: "ERROR", error_message: "disk full" },
    ]);
    expect(await stateOf()).toBe("STATE_ERROR");
  });

  test("delete, after which it is not there", async () => {
    expect(await sessions("delete", id)).toEqual({ code: 0, stdout: `${id} is deleted\n`, stderr: "" });
    const shown = await sessions("show", id);
    expect(shown).toMatchObject({ code: 3, stdout: "" });
    expect(shown.stderr).toMatch(/^downlease: .* does not exist or has expired\..*\n$/);
  });

  test.each([
    [["fail", "some-id"], /required option '-m, --message <text>'/],
    [["keep-alive", "some-id", "--progress", "101"], /must be a whole number from 0 to 100/],
    [["keep-alive", "some-id", "--progress", "1e1"], /must be a whole number from 0 to 100/],
    [["list", "--interval", "0"], /must be a number of seconds/],
    [["show"], /missing required argument 'id'/],
    [["cancel"], /missing required argument 'ids'/],
    [["list", "some-id"], /too many arguments/],
    [["list", "--state", "OPEN"], /Allowed choices are ACTIVE, CANCELED, ERROR/],
    [["list", "--limit", "0"], /must be a whole number from 1/],
    [["sho", "some-id"], /Did you mean show\?/],
  ])("%j is a mistake of usage", async (args, message) => {
    const { code, stdout, stderr } = await sessions(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });
});

describe("--watch", { timeout: 60_000 }, () => {
  let watching: string[];
  beforeEach(() => {
    watching = ["--watch", "--interval", "0.1", "--server", service.url];
  });

  test("writes a line for each change, and ends with 130 on SIGINT", async () => {
    const child = await startAlone("list", ...watching);
    const linesOf = (session: string) => child.stdout.split("\n").filter((line) => line.includes(session));
    await eventually("the session", () => linesOf(id).length === 1, patience);
    await call(service.url, "KeepAlive", { downloadSessionId: id, progress: 7 });
    await eventually("its progress", () => linesOf(id).length === 2);
    await call(service.url, "Delete", { downloadSessionId: id });
    await eventually("its end", () => linesOf(id).length === 3);
    expect(linesOf(id).map((line) => line.replace(/^\S+Z {2}/, ""))).toEqual([
      `${id}  demo/photon  ACTIVE  0%`,
      `${id}  demo/photon  ACTIVE  7%`,
      `${id}  gone`,
    ]);
    child.signal("SIGINT");
    expect(await child.exited).toEqual({ code: 130, signal: null });
    expect(child.stderr).toBe("");
  });

  test("with --json writes each state of the session, and ends when the session does", async () => {
    const child = startCommand(["sessions", "show", id, ...watching, "--json"]);
    await eventually("the session", () => json(child).length === 1, patience);
    await call(service.url, "Cancel", { downloadSessionId: id });
    expect(await child.ended).toMatchObject({ code: 0 });
    expect(json(child).map(({ id: each, state }) => ({ id: each, state }))).toEqual([
      { id, state: "ACTIVE" },
      { id, state: "CANCELED" },
    ]);
  });

  test("reports that a session is gone", async () => {
    const child = startCommand(["sessions", "show", id, ...watching, "--json"]);
    await eventually("the session", () => json(child).length === 1, patience);
    await call(service.url, "Delete", { downloadSessionId: id });
    expect(await child.ended).toMatchObject({ code: 0 });
    expect(json(child).at(-1)).toEqual({ id, gone: true });
  });

  test("a session that was never there is 3", async () => {
    expect(await sessions("show", "nothing", "--watch")).toMatchObject({ code: 3, stdout: "" });
  });

  test("waits for a server that is restarted", async () => {
    await using directory = await tempDir();
    const serve = (port: number) =>
      startService(["--port", String(port)], { DOWNLEASE_SQLITE_PATH: `${directory.path}/sessions.db` });
    const before = await onFreePorts(async () => serve(await freePort()));
    const session = await newSession(before);
    const child = await startAlone("list", "--watch", "--interval", "0.1", "--server", before.url);
    await eventually(
      "the session",
      () => child.stdout.includes(`${session}  demo/photon  ACTIVE  0%`),
      patience,
    );
    await before.kill();
    await eventually("the message about the loss", () =>
      child.stderr.startsWith(`downlease: trying again: can't reach ${before.url}: `),
    );
    await using after = await serve(before.port);
    await call(after.url, "KeepAlive", { downloadSessionId: session, progress: 9 });
    await eventually("the progress", () => child.stdout.includes(`${session}  demo/photon  ACTIVE  9%`));
    expect(child.stderr).toMatch(/is reached again\n$/);
    expect(child.stderr.split("\n")).toHaveLength(3);
    child.signal("SIGTERM");
    expect(await child.exited).toEqual({ code: 143, signal: null });
  });

  test("on a terminal draws in place, until Ctrl-C", async () => {
    const child = await startOnTerminal(["sessions", "show", id, ...watching]);
    running.push(child);
    await eventually("the session", () => /progress {4}0%/.test(child.stdout), patience);
    await call(service.url, "KeepAlive", { downloadSessionId: id, progress: 55 });
    await eventually("the progress", () => /progress {4}55%/.test(child.stdout));
    // Up over what was drawn before, and away with it.
    expect(child.stdout).toContain("A\r\u001b[Jsession");
    child.type("\x03");
    expect(await child.exited).toEqual({ code: 130, signal: null });
  });
});
