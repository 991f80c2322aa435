import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SessionState } from "../../src/client/index.ts";
import {
  type Command,
  mainPath,
  runCommand,
  runProgram,
  startCommand,
  startOnTerminal,
  startProgram,
} from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { FaultServer } from "../support/fault-server.ts";
import { type Process, startProcess } from "../support/process.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Some tests start several processes one after the other, each of which takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

// The output and the end of the program; what becomes of the files is in test/integration/download-*.

let server: FaultServer;
let directory: TempDir;
const running: Process[] = [];
const commands: Command[] = [];

beforeEach(async () => {
  server = await FaultServer.start();
  server.addFile("small.ovf", 600);
  server.addFile("disk.vmdk", 300_000);
  directory = await tempDir();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.kill()));
  for (const command of commands) if (command.code === undefined) command.signal("SIGTERM");
  await Promise.all(commands.splice(0).map(({ ended }) => ended));
  await server.crash();
  await directory.remove();
});

const target = () => join(directory.path, "out");
const argsOf = (args: readonly string[]) => ["get", "item", "-o", target(), "--server", server.url, ...args];
const get = (...args: string[]) => runCommand(argsOf(args));

/** Starts a get in this process. */
function start(...args: string[]): Command {
  const command = startCommand(argsOf(args));
  commands.push(command);
  return command;
}

/** Starts a get in a process of its own. */
async function startAlone(...args: string[]): Promise<Process> {
  const child = await startProgram(argsOf(args), { cwd: directory.path });
  running.push(child);
  return child;
}

interface Event {
  readonly event: string;
  readonly [member: string]: unknown;
}
const eventsOf = ({ stdout }: { readonly stdout: string }): Event[] =>
  stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const sumOf = (name: string) => sha256(server.files.get(name)!);

/** Time for a process to start on a busy machine. */
const patience = { withinMs: 15_000 };
const resume = "Run the same command again to resume.";

describe("a download that goes well", () => {
  test("is shown in lines, and ends with checksums that sha256sum accepts", async () => {
    const { code, stdout, stderr } = await runProgram(argsOf([]), { cwd: directory.path });
    expect(code).toBe(0);
    expect(stdout.split("\n").sort()).toEqual(
      ["", `${sumOf("small.ovf")}  out/small.ovf`, `${sumOf("disk.vmdk")}  out/disk.vmdk`].sort(),
    );
    const lines = stderr.split("\n");
    expect(lines[0]).toBe(`downlease: getting item into ${target()}`);
    expect(lines).toContain("downlease: disk.vmdk: done, 293 KiB");
    expect(lines.at(-2)).toMatch(/^downlease: 2 files of 294 KiB, checksums verified; 294 KiB fetched$/);
    await writeFile(join(directory.path, "sums"), stdout);
    const check = await startProcess("sha256sum", ["--check", "sums"], { cwd: directory.path });
    expect(await check.exited).toEqual({ code: 0, signal: null });
    expect(server.ends).toEqual(["delete"]);
  });

  test("is reported in events with --json, every member of which is in docs/cli.md", async () => {
    const outcome = await get("--json");
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const events = eventsOf(outcome);
    expect(events[0]).toEqual({ event: "item", item_id: "item", name: "item", directory: target() });
    expect(events).toContainEqual({
      event: "progress",
      percent: 100,
      bytes_done: 300_600,
      bytes_total: 300_600,
    });
    const states = events.filter(({ event, name }) => event === "file" && name === "disk.vmdk");
    expect(states.at(-1)).toEqual({
      event: "file",
      name: "disk.vmdk",
      state: "done",
      size: 300_000,
      bytes_done: 300_000,
    });
    expect(events.at(-1)).toEqual({
      event: "result",
      item_id: "item",
      content_version: "v1",
      bytes_total: 300_600,
      bytes_fetched: 300_600,
      elapsed_ms: expect.any(Number),
      files: ["small.ovf", "disk.vmdk"].map((name) => ({
        name,
        path: join(target(), name),
        size: server.files.get(name)!.length,
        sha256: sumOf(name),
        outcome: "downloaded",
      })),
    });
    const page = await readFile(new URL("../../docs/cli.md", import.meta.url), "utf8");
    for (const { event, ...members } of events) {
      const row = page.split("\n").find((line) => line.startsWith(`| \`${event}\` |`));
      for (const name of Object.keys(members)) expect(row).toContain(`\`${name}\``);
    }
  });

  test("with --quiet prints nothing", async () => {
    expect(await get("--quiet")).toEqual({ code: 0, stdout: "", stderr: "" });
    expect(await readdir(target())).toEqual(["disk.vmdk", "small.ovf"]);
  });

  test("takes only the files that are named", async () => {
    const outcome = await get("small.ovf", "--json", "--parallel", "1");
    expect(outcome).toMatchObject({ code: 0 });
    expect(await readdir(target())).toEqual(["small.ovf"]);
  });

  test("fetches no file that is there already", async () => {
    await get("--quiet");
    const { code, stderr } = await get();
    expect(code).toBe(0);
    expect(stderr).toMatch(/checksums verified; nothing had to be fetched\n$/);
    expect(server.fileRequests).toHaveLength(2);
  });

  test("goes on after the reader of its output has gone", async () => {
    const command = `'${process.execPath}' '${mainPath}' ${argsOf(["--json"]).join(" ")} | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const child = await startProcess("bash", ["-c", command]);
    running.push(child);
    await child.exited;
    expect(child.stdout).toMatch(/^\{"event":"item".*\}\n0\n$/);
    expect(child.stderr).toBe("");
    expect(await readdir(target())).toEqual(["disk.vmdk", "small.ovf"]);
  });

  test("is drawn with bars on a terminal", async () => {
    server.preparingPolls = 3;
    const child = await startOnTerminal(argsOf([]));
    running.push(child);
    expect(await child.exited).toEqual({ code: 0, signal: null });
    const lines = stripVTControlCharacters(child.stdout.replaceAll("\u001b[1G", "\n")).split(/[\r\n]+/);
    expect(lines).toContain(`Getting item into ${target()}`);
    expect(lines.some((line) => /^disk\.vmdk +\[ +\] +0% {2}preparing *$/.test(line))).toBe(true);
    expect(lines).toContain("disk.vmdk  293 KiB  verified");
    expect(child.stdout).toMatch(/2 files of 294 KiB, checksums verified; [^\n]*\n$/);
    // The cursor is shown again, and lines wrap again.
    expect(child.stdout.lastIndexOf("\u001b[?25h")).toBeGreaterThan(child.stdout.lastIndexOf("\u001b[?25l"));
    expect(child.stdout.lastIndexOf("\u001b[?7h")).toBeGreaterThan(child.stdout.lastIndexOf("\u001b[?7l"));
    expect(child.stdout).not.toContain(sumOf("disk.vmdk"));
  });
});

describe("a look-up that is cut", () => {
  /** Resets the connections at each of the first calls. */
  function cutFirst(calls: number): void {
    server.beforeCall = () => {
      if (calls-- > 0) server.cut();
    };
  }

  test("once is repeated, and the download succeeds", async () => {
    cutFirst(1);
    const { code, stderr } = await get();
    expect(code).toBe(0);
    const [first, second] = stderr.split("\n");
    expect(first).toMatch(/^downlease: can't reach http:\S+: the connection was reset .*; trying again$/);
    expect(second).toBe(`downlease: getting item into ${target()}`);
    expect(await readdir(target())).toEqual(["disk.vmdk", "small.ovf"]);
  });

  test("at the name is repeated", async () => {
    let calls = 0;
    server.beforeCall = () => {
      calls += 1;
      if (calls === 2) server.cut();
    };
    const outcome = await get("--json");
    expect(outcome.code).toBe(0);
    expect(eventsOf(outcome).slice(0, 2)).toMatchObject([
      { event: "notice", message: expect.stringMatching(/; trying again$/) },
      { event: "item" },
    ]);
  });

  test("once, and whose server is restarted, is repeated until the server is back", async () => {
    server.beforeCall = () => void server.crash();
    const command = start();
    await eventually("the refusal", () => command.stderr.includes("connection refused; trying again"));
    server.beforeCall = () => {};
    await server.listen();
    expect((await command.ended).code).toBe(0);
  });

  test("each time ends with 5 after --patience, and the same notice is shown once", async () => {
    cutFirst(Number.POSITIVE_INFINITY);
    const { code, stdout, stderr } = await get("--patience", "0.5");
    expect({ code, stdout }).toEqual({ code: 5, stdout: "" });
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/; trying again$/);
    expect(lines[1]).toMatch(/^downlease: can't reach http:\S+: the connection was reset .* to resume\.$/);
  });

  test("each time ends by Ctrl-C", async () => {
    cutFirst(Number.POSITIVE_INFINITY);
    const command = start();
    await eventually("the notice", () => command.stderr.includes("trying again"));
    command.signal("SIGINT");
    expect((await command.ended).code).toBe(130);
  });

  test("with a login that gets no answer ends by Ctrl-C", async () => {
    let requests = 0;
    const silent = createServer((socket) => socket.on("data", () => requests++).on("error", () => {}));
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const command = startCommand(["get", "item", "--server", url, "--user", "alice"], {
      env: { DOWNLEASE_PASSWORD: "secret" },
    });
    commands.push(command);
    await eventually("the login", () => requests > 0);
    command.signal("SIGINT");
    const outcome = await command.ended;
    silent.close();
    expect(outcome).toMatchObject({ code: 130, stderr: `downlease: interrupted. ${resume}\n` });
  }, 10_000);

  test.each([
    [Code.NotFound, 3],
    [Code.Unauthenticated, 4],
  ])("is not repeated when the server refuses it with code %i", async (code, exit) => {
    let calls = 0;
    server.beforeCall = (method) => {
      calls += 1;
      if (calls === 1) server.cut();
      else if (method === "create" || code === Code.Unauthenticated) throw new ConnectError("no", code);
    };
    const outcome = await get();
    expect(outcome.code).toBe(exit);
    expect(outcome.stderr.match(/trying again/g)).toHaveLength(1);
  });
});

describe("a failure is a line, an event and an exit code", () => {
  async function expectFailure(args: readonly string[], code: number, reason: string, message: RegExp) {
    const plain = await get(...args);
    expect(plain).toMatchObject({ code, stdout: "" });
    const last = plain.stderr.trimEnd().split("\n").at(-1);
    expect(last).toMatch(/^downlease: /);
    expect(last).toMatch(message);
    expect(plain.stderr).not.toMatch(/\n {4}at /);
    const json = await get(...args, "--json");
    expect(json.code).toBe(code);
    expect(json.stderr.trimEnd().split("\n").at(-1)).toMatch(message);
    expect(eventsOf(json).at(-1)).toMatchObject({ event: "error", reason, exit_code: code });
  }

  test("a server that is not there", async () => {
    await server.crash();
    await expectFailure([], 5, "unreachable", /can't reach http:\S+: connection refused/);
  });

  test("no such item", async () => {
    server.beforeCall = (method) => {
      if (method === "create") throw new ConnectError("no such item", Code.NotFound);
    };
    await expectFailure([], 3, "not_found", /no such item/);
  });

  test("no such file", () => expectFailure(["nothing.iso"], 3, "not_found", /no file 'nothing\.iso'/));

  test("a caller without valid credentials", async () => {
    server.beforeCall = () => {
      throw new ConnectError("who are you?", Code.Unauthenticated);
    };
    await expectFailure(
      [],
      4,
      "refused",
      /who are you\?\.? Log in with downlease login, or pass credentials/,
    );
  });

  test("a server that is unreachable for longer than --patience", async () => {
    server.everyFault = { status: 503 };
    await expectFailure(["--patience", "0.5"], 5, "unreachable", new RegExp(resume.replaceAll(".", "\\.")));
  });

  test("bytes that are wrong each time", async () => {
    server.wrongChecksums.set("disk.vmdk", "ab".repeat(32));
    await expectFailure([], 6, "corrupt", /disk\.vmdk/);
    expect(await readdir(target())).not.toContain("disk.vmdk");
  });

  test("a file that the server can't prepare", async () => {
    server.errors.set("disk.vmdk", "its manifest has another checksum \u001b[2J");
    await expectFailure([], 6, "corrupt", /its manifest has another checksum \\x1b\[2J/);
  });

  test("a directory that is a file", async () => {
    await writeFile(target(), "a file");
    await expectFailure([], 7, "disk", /out/);
  });

  test("a session that was canceled elsewhere", async () => {
    server.everyFault = { stallAfter: 1000 };
    server.leaseMs = 600;
    const command = start("--json");
    await eventually("the download", () => server.fileRequests.length === 2, patience);
    for (const session of server.sessions) session.state = SessionState.CANCELED;
    expect((await command.ended).code).toBe(8);
    expect(eventsOf(command).at(-1)).toMatchObject({ event: "error", reason: "lease_lost", exit_code: 8 });
    expect(command.stderr).toMatch(/^downlease: [^\n]+ Run the same command again to resume\.\n$/);
  });

  test("another get in the same directory", async () => {
    server.everyFault = { stallAfter: 1000 };
    const first = await startAlone("--json");
    await eventually("the download", () => server.fileRequests.length === 2, patience);
    await expectFailure([], 9, "busy", /./);
    first.signal("SIGINT");
    expect((await first.exited).code).toBe(130);
  });

  test.each([
    [["--parallel", "0"], /must be a whole number from 1 to 64/],
    [["--parallel", "many"], /must be a whole number from 1 to 64/],
    [["--patience", "-1"], /must be a number of seconds/],
    [["--quite"], /Did you mean --quiet\?/],
  ])("%j is a mistake of usage", async (args, message) => {
    const { code, stdout, stderr } = await get(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });
});

describe("a download that is interrupted", () => {
  // Smaller files are started over instead of resumed.
  beforeEach(() => {
    server.addFile("disk.vmdk", 3_000_000);
    server.everyFault = { stallAfter: 1_000_000 };
  });

  const standsStill = () =>
    eventually(
      "the first bytes",
      async () => (await readFile(join(target(), "disk.vmdk.part"))).length === 1_000_000,
      patience,
    );

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)(
    "by %s cancels its session, keeps the partial file, and says how to resume",
    async (signal, code) => {
      const child = await startAlone("disk.vmdk");
      await standsStill();
      child.signal(signal);
      expect(await child.exited).toEqual({ code, signal: null });
      expect(child.stderr.trimEnd().split("\n").at(-1)).toBe(`downlease: interrupted. ${resume}`);
      expect(server.ends).toEqual(["cancel"]);
      server.everyFault = undefined;
      const again = await get("disk.vmdk", "--json");
      expect(again).toMatchObject({ code: 0 });
      expect(eventsOf(again).at(-1)).toMatchObject({ event: "result", bytes_fetched: 2_000_000 });
    },
  );

  test("with --json ends with an error event", async () => {
    const command = start("disk.vmdk", "--json");
    await standsStill();
    command.signal("SIGINT");
    expect((await command.ended).code).toBe(130);
    expect(eventsOf(command).at(-1)).toMatchObject({ event: "error", reason: "interrupted", exit_code: 130 });
  });

  test("a second time ends at once, though the server does not answer", async () => {
    const child = await startAlone("disk.vmdk");
    await standsStill();
    // Now the cancellation of the session gets no answer.
    let cancels = 0;
    server.beforeCall = (method) => {
      if (method !== "cancel") return;
      cancels += 1;
      throw new ConnectError("not now", Code.Unavailable);
    };
    child.signal("SIGINT");
    await eventually("the attempt to cancel", () => cancels > 0 || child.exit !== undefined);
    child.signal("SIGINT");
    expect(await child.exited).toEqual({ code: 130, signal: null });
    expect(await readdir(target())).toContain("disk.vmdk.part");
  });

  test("by Ctrl-C on a terminal leaves the terminal as it was", async () => {
    const child = await startOnTerminal(argsOf(["disk.vmdk"]));
    running.push(child);
    await standsStill();
    await eventually("the bar", () => /0 of 1 done +\[.*\] +\d+%/.test(child.stdout));
    child.type("\x03");
    expect(await child.exited).toEqual({ code: 130, signal: null });
    expect(child.stdout).toContain(`downlease: interrupted. ${resume}`);
    expect(child.stdout.lastIndexOf("\u001b[?25h")).toBeGreaterThan(child.stdout.lastIndexOf("\u001b[?25l"));
    expect(server.ends).toEqual(["cancel"]);
  });

  test("creates the directory if it does not exist", async () => {
    server.everyFault = undefined;
    await mkdir(directory.path, { recursive: true });
    expect(
      (await runCommand(["get", "item", "-o", join(target(), "a", "b"), "--server", server.url])).code,
    ).toBe(0);
    expect(await readdir(join(target(), "a", "b"))).toEqual(["disk.vmdk", "small.ovf"]);
  });
});
