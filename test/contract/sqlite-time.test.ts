import { join } from "node:path";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SqliteBackend } from "../../src/stores/sqlite/backend.ts";
import type { Clocks } from "../../src/stores/sqlite/clock.ts";
import { callerNamed } from "../support/callers.ts";
import { openSqlite } from "../support/sqlite-backend.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newLogin } from "./logins.ts";

const alice = callerNamed("alice");
const hour = 3_600_000;
const leaseMs = 60_000;
const leaseTerms = { leaseMs, retentionMs: leaseMs };
const loginTerms = { idleMs: 10 * leaseMs, lifetimeMs: 20 * leaseMs };
const spec = (id: string) => ({ id, owner: "alice", libraryItemId: "item-1", contentVersion: "v1" });

/** A machine whose clocks stand still unless the test moves them. */
class Machine implements Clocks {
  boot = "first boot";
  #monotonic = 5_000.25;
  #wall = Date.UTC(2026, 0, 1);

  monotonicMs(): number {
    return this.#monotonic;
  }
  wallMs(): number {
    return Math.floor(this.#wall);
  }
  exactWallMs(): number {
    return this.#wall;
  }

  pass(ms: number): void {
    this.#monotonic += ms;
    this.#wall += ms;
  }

  /** Somebody sets the clock. */
  step(ms: number): void {
    this.#wall += ms;
  }

  /** The machine is off for so long. */
  restart(ms: number): void {
    this.boot = "second boot";
    this.#monotonic = 100;
    this.#wall += ms;
  }
}

let dir: TempDir;
let machine: Machine;
let lines: string[];
const opened: SqliteBackend[] = [];
beforeEach(async () => {
  dir = await tempDir();
  machine = new Machine();
  lines = [];
});
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend[Symbol.asyncDispose]();
  await dir.remove();
});

/** As a process of the service opens the file. It is not closed before the end of the test: processes are killed. */
function open(maxDowntimeMs = hour): SqliteBackend {
  const log = pino({ base: null }, { write: (line) => void lines.push(line) });
  const options = { leaseTerms, loginTerms, maxDowntimeMs, clocks: machine, log };
  const backend = openSqlite(join(dir.path, "sessions.db"), options);
  opened.push(backend);
  return backend;
}

const logged = () => lines.map((line) => JSON.parse(line));
const isAlive = async ({ sessions }: SqliteBackend, id: string) =>
  (await sessions.get(id, alice)) !== undefined;

describe.each([
  ["forward", hour],
  ["back", -hour],
])("setting the machine's clock %s", (direction, stepMs) => {
  it("neither ends nor prolongs a lease", async () => {
    const backend = open();
    await backend.sessions.create(spec("s-1"));
    machine.pass(1_000);
    machine.step(stepMs);
    expect(await isAlive(backend, "s-1")).toBe(true);
    machine.pass(leaseMs - 1_001);
    expect(await isAlive(backend, "s-1")).toBe(true);
    machine.pass(1);
    expect(await isAlive(backend, "s-1")).toBe(false);
  });

  it("leaves login sessions as they are", async () => {
    const { logins } = open();
    const id = await logins.open(newLogin());
    machine.step(stepMs);
    expect(await logins.find(id)).toMatchObject({
      createdAt: machine.wallMs(),
      lastUsedAt: machine.wallMs(),
    });
    machine.pass(loginTerms.idleMs);
    expect(await logins.find(id)).toBeUndefined();
  });

  it("moves the times that callers get with it", async () => {
    const { sessions, sessionFiles } = open();
    await sessions.create(spec("s-1"));
    machine.step(stepMs);
    const expiresAt = machine.wallMs() + leaseMs;
    expect(await sessions.get("s-1", alice)).toMatchObject({ expiresAt });
    expect(await sessionFiles.files("s-1", alice)).toMatchObject({ session: { expiresAt } });
    expect(await sessions.keepAlive("s-1", alice)).toMatchObject({ expiresAt });
    expect(await sessions.keepAliveMany([{ id: "s-1" }], alice)).toMatchObject([{ expiresAt }]);
    expect(await sessionFiles.request("s-1", alice, "disk", "HTTPS")).toMatchObject({ expiresAt });
    expect(await sessions.create(spec("s-1"))).toMatchObject({ expiresAt });
    expect(await sessions.create(spec("s-2"))).toMatchObject({ expiresAt });
    expect(await sessions.finish("s-1", alice, "CANCELED")).toMatchObject({ expiresAt });
  });

  it("is logged once", async () => {
    const backend = open();
    await backend.sessions.create(spec("s-1"));
    machine.step(stepMs);
    for (let turn = 0; turn < 3; turn++) {
      await backend.probe();
      await backend.sessions.keepAlive("s-1", alice);
    }
    expect(logged()).toEqual([
      {
        level: 40,
        time: expect.any(Number),
        stepMs,
        msg: `the machine's clock was set ${direction} by 3600.0 s; leases are not affected`,
      },
    ]);
  });

  it("leaves processes that share a file in agreement, also one that starts afterwards", async () => {
    const before = open();
    await before.sessions.create(spec("s-1"));
    machine.step(stepMs);
    await before.probe();
    const after = open();
    await after.sessions.create(spec("s-2"));
    expect(await after.sessions.get("s-1", alice)).toEqual(await before.sessions.get("s-1", alice));
    expect(await before.sessions.get("s-2", alice)).toEqual(await after.sessions.get("s-2", alice));
    machine.pass(leaseMs - 1);
    expect(await before.sessions.list("alice")).toEqual(["s-1", "s-2"]);
    expect(await after.sessions.list("alice")).toEqual(["s-1", "s-2"]);
    machine.pass(1);
    expect(await before.sessions.list("alice")).toEqual([]);
    expect(await after.sessions.list("alice")).toEqual([]);
  });

  it("while the service is down changes nothing", async () => {
    const before = open(0);
    await before.sessions.create(spec("s-1"));
    machine.step(stepMs);
    machine.pass(leaseMs - 1);
    const after = open(0);
    expect(await isAlive(after, "s-1")).toBe(true);
    machine.pass(1);
    expect(await isAlive(after, "s-1")).toBe(false);
  });
});

it("small differences between the clocks are not announced", async () => {
  const backend = open();
  const created = await backend.sessions.create(spec("s-1"));
  machine.step(900);
  expect(await backend.sessions.get("s-1", alice)).toEqual(created);
  expect(lines).toEqual([]);
});

describe("the time that the service was down", () => {
  /** Serves for a while, is killed, and is started again after some time. */
  async function restart(downMs: number, maxDowntimeMs = hour): Promise<SqliteBackend> {
    const before = open();
    await before.sessions.create(spec("active"));
    await before.sessions.create(spec("canceled"));
    await before.sessions.create(spec("gone"));
    await before.sessions.finish("canceled", alice, "CANCELED");
    machine.pass(leaseMs - 10_000);
    await before.sessions.keepAlive("active", alice);
    machine.pass(10_000);
    await before.sessions.create(spec("last"));
    await before.probe();
    machine.pass(downMs);
    return open(maxDowntimeMs);
  }

  it("does not count against leases", async () => {
    const after = await restart(20 * leaseMs);
    expect(await after.sessions.list("alice")).toEqual(["active", "last"]);
    expect(await after.sessions.get("last", alice)).toMatchObject({ expiresAt: machine.wallMs() + leaseMs });
    machine.pass(leaseMs - 10_001);
    expect(await after.sessions.list("alice")).toEqual(["active", "last"]);
    machine.pass(1);
    expect(await after.sessions.list("alice")).toEqual(["last"]);
    expect(logged()).toMatchObject([
      {
        level: 30,
        downMs: 20 * leaseMs,
        prolongedMs: 20 * leaseMs,
        sessions: 2,
        msg: "the service was down for 1200.0 s; leases are prolonged by 1200.0 s",
      },
    ]);
  });

  it("does not count against sessions that can still be read", async () => {
    const before = open();
    await before.sessions.create(spec("s-1"));
    await before.sessions.finish("s-1", alice, "ERROR", "no room");
    machine.pass(20 * leaseMs);
    const after = open();
    expect(await after.sessions.get("s-1", alice)).toMatchObject({ state: "ERROR" });
    machine.pass(leaseMs);
    expect(await isAlive(after, "s-1")).toBe(false);
  });

  it("counts against leases beyond the longest time that is configured", async () => {
    const after = await restart(2 * hour, hour);
    expect(await after.sessions.list("alice")).toEqual([]);
  });

  it("counts against leases when no time is configured", async () => {
    expect(await (await restart(leaseMs, 0)).sessions.list("alice")).toEqual([]);
    expect(lines).toEqual([]);
  });

  it("counts against login sessions", async () => {
    const id = await open().logins.open(newLogin());
    machine.pass(loginTerms.idleMs - 1);
    const after = open();
    expect(await after.logins.find(id)).toBeDefined();
    machine.pass(loginTerms.idleMs);
    expect(await open().logins.find(id)).toBeUndefined();
  });

  it("is none while another process is alive", async () => {
    const one = open();
    const created = await one.sessions.create(spec("s-1"));
    for (let turn = 0; turn < 10; turn++) {
      machine.pass(1_000);
      await one.probe();
    }
    machine.pass(999);
    expect(await open().sessions.get("s-1", alice)).toEqual(created);
    expect(lines).toEqual([]);
  });

  it("is given back once, whichever process starts first", async () => {
    await open().sessions.create(spec("s-1"));
    machine.pass(20 * leaseMs);
    const [one, other] = [open(), open()];
    const expected = { expiresAt: machine.wallMs() + leaseMs };
    expect(await one.sessions.get("s-1", alice)).toMatchObject(expected);
    expect(await other.sessions.get("s-1", alice)).toMatchObject(expected);
    expect(lines).toHaveLength(1);
  });

  it("is measured by the time of day when the machine has restarted", async () => {
    await open().sessions.create(spec("s-1"));
    machine.pass(10_000);
    machine.restart(20 * leaseMs);
    const after = open();
    expect(await after.sessions.get("s-1", alice)).toMatchObject({ expiresAt: machine.wallMs() + leaseMs });
    machine.pass(leaseMs);
    expect(await isAlive(after, "s-1")).toBe(false);
  });

  it("is none when the machine has restarted with its clock set back, and leases go on", async () => {
    await open().sessions.create(spec("s-1"));
    machine.restart(-24 * hour);
    const after = open();
    expect(await after.sessions.get("s-1", alice)).toMatchObject({ expiresAt: machine.wallMs() + leaseMs });
    machine.pass(leaseMs);
    expect(await isAlive(after, "s-1")).toBe(false);
  });

  it("is measured by the time of day when the machine was set back to a snapshot", async () => {
    machine.pass(hour);
    await open().sessions.create(spec("s-1"));
    machine.restart(20 * leaseMs);
    machine.boot = "first boot";
    const after = open();
    expect(await after.sessions.get("s-1", alice)).toMatchObject({ expiresAt: machine.wallMs() + leaseMs });
  });
});
