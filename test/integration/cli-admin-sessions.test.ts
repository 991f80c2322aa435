import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { runCommand, startCommand, startOnTerminal } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { stateOf } from "../support/links.ts";
import { addItem, openSession } from "../support/session-files.ts";
import { openSqlite } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// A terminal needs a process, which takes its time to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let app: TestApp;
let directory: TempDir;
let sqlitePath: string;
beforeAll(async () => {
  directory = await tempDir();
  sqlitePath = join(directory.path, "sessions.db");
  app = await startTestApp({ settings: { sqlitePath } });
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});

const admin = (...args: string[]) => runCommand(["admin", ...args, "--server", app.url]);

const json = ({ stdout }: { stdout: string }) =>
  stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

async function open(count: number): Promise<{ item: string; ids: string[] }> {
  const item = await addItem(app.contentRoot, { "disk.bin": "content" });
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await openSession(app.url, item));
  return { item, ids };
}

test("sessions are a table, and an object a line with --json", async () => {
  const { item, ids } = await open(2);
  const { code, stdout, stderr } = await admin("sessions", "--item", item);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const [titles, ...rows] = stdout.trimEnd().split("\n");
  expect(titles!.split(/ {2,}/)).toEqual([
    "ID",
    "OWNER",
    "ITEM",
    "STATE",
    "PROGRESS",
    "BYTES",
    "AGE",
    "RENEWED",
    "EXPIRES IN",
    "CLIENT",
  ]);
  const time = expect.stringMatching(/^\d+m?s?( \d+s)?$/);
  expect(rows.map((row) => row.split(/ {2,}/).slice(0, 9))).toEqual(
    ids.map((id) => [id, "anonymous", item, "ACTIVE", "0%", "0 B of 7 B", time, time, time]),
  );
  await admin("end", ids[1]!, "--fail", "no\nspace", "--yes");
  expect(json(await admin("sessions", "--item", item, "--state", "ERROR", "--json"))).toEqual([
    expect.objectContaining({ id: ids[1], state: "ERROR", error_message: "no\nspace", bytes_total: 7 }),
  ]);
  const both = await admin(
    "sessions",
    "--item",
    `lib/${item}`,
    "--state",
    "ERROR",
    "--state",
    "ACTIVE",
    "--json",
  );
  expect(json(both)).toHaveLength(2);
  expect((await admin("sessions", "--item", item)).stdout).toContain("no\\x0aspace");
  const one = await admin("sessions", "--item", item, "--limit", "1");
  expect(one.stdout.trimEnd().split("\n")).toHaveLength(2);
  expect(one.stderr).toContain("the first 1 sessions are shown; there are more (--limit)");
  expect((await admin("sessions", "--item", item, "--limit", "2")).stderr).toBe("");
  expect((await admin("sessions", "--owner", "nobody")).stdout).toMatch(/^ID .*CLIENT\n$/);
});

test("sessions --watch writes what changes", async () => {
  const { item, ids } = await open(1);
  const args = ["admin", "sessions", "--item", item, "--watch", "--interval", "30", "--server", app.url];
  const command = startCommand([...args, "--json"]);
  await eventually("the session", () => command.stdout.includes(ids[0]!));
  await admin("end", ids[0]!, "--cancel", "--yes");
  await eventually("its end", () => command.stdout.includes('"CANCELED"'));
  await admin("end", ids[0]!, "--delete", "--yes");
  await eventually("that it is gone", () => command.stdout.includes('"gone":true'));
  command.signal("SIGINT");
  expect((await command.ended).code).toBe(130);
});

test("end counts with --dry-run, and ends with --yes, by ids and by filter", async () => {
  const { item, ids } = await open(3);
  expect(await admin("end", "--item", item, "--cancel", "--dry-run")).toMatchObject({
    code: 0,
    stdout: "would cancel 3 sessions\n",
  });
  expect(await admin("end", ids[0]!, ids[0]!, "none", "--cancel", "--yes")).toMatchObject({
    code: 3,
    stdout: "1 session canceled\n1 session not canceled: not_found: none\n",
    stderr: "downlease: 1 of 2 sessions could not be ended\n",
  });
  expect(await admin("end", ids[0]!, "--cancel", "--yes")).toMatchObject({ code: 8 });
  const all = await admin("end", "--item", item, "--fail", "maintenance", "--yes", "--json");
  expect([all.code, json(all)]).toEqual([0, [{ ended: 2, dry_run: false, refusals: [] }]]);
  const states = await Promise.all(ids.map((id) => stateOf(app.url, id)));
  expect(states).toEqual(["CANCELED", "ERROR", "ERROR"]);
  expect((await admin("end", "--item", item, "--delete", "--yes")).stdout).toBe("3 sessions deleted\n");
});

test("end goes on until everything is ended, and says how far it is", async () => {
  const [item, backend] = ["an item", openSqlite(sqlitePath)];
  const session = { owner: "bob", libraryItemId: item, contentVersion: "v1" };
  for (let n = 0; n < 1_050; n++) await backend.sessions.create({ ...session, id: `session ${n}` });
  await backend[Symbol.asyncDispose]();
  const { stdout, stderr } = await admin("end", "--item", item, "--delete", "--yes");
  expect(stdout).toBe("1050 sessions deleted\n");
  expect(stderr).toMatch(/^downlease: \d+ sessions deleted so far\n/);
});

test.each([
  [["--cancel"], "say which sessions are to end"],
  [["a", "--all", "--cancel"], "say which sessions are to end"],
  [["--owner", "a", "--all", "--cancel"], "say which sessions are to end"],
  [["a"], "say how the sessions are to end: --cancel, --fail <text> or --delete"],
  [["a", "--cancel", "--delete"], "say how the sessions are to end"],
  [["--all", "--cancel"], "nobody can be asked on this input: confirm with --yes"],
  [["--min-age", "-1", "--cancel"], "must be a number of seconds"],
  [["--state", "OPEN", "--cancel"], "Allowed choices are ACTIVE, CANCELED, ERROR"],
])("end %j is refused", async (args, message) => {
  const { ids } = await open(1);
  const { code, stderr } = await admin("end", ...args);
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  expect(await stateOf(app.url, ids[0]!)).toBe("ACTIVE");
});

test("end asks on a terminal, with the number of sessions", async () => {
  const { item, ids } = await open(2);
  const answered = async (answer: string) => {
    const child = await startOnTerminal(["admin", "end", "--item", item, "--cancel", "--server", app.url]);
    await eventually("the question", () => child.stdout.includes("[y/N]"), { withinMs: 15_000 });
    child.type(answer);
    const { code } = await child.exited;
    return { code, output: child.stdout };
  };
  const refused = await answered("n\r");
  expect(refused.output).toContain(`cancel 2 sessions of ${app.url}? [y/N] `);
  expect([refused.code, refused.output]).toEqual([1, expect.stringContaining("nothing was ended")]);
  expect(await stateOf(app.url, ids[0]!)).toBe("ACTIVE");
  const agreed = await answered("yes\r");
  expect([agreed.code, agreed.output]).toEqual([0, expect.stringContaining("2 sessions canceled")]);
  expect(await stateOf(app.url, ids[0]!)).toBe("CANCELED");
});
