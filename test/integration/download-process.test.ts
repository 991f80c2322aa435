import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { FaultServer } from "../support/fault-server.ts";
import { type Process, startProcess } from "../support/process.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const size = 4_000_000;
const firstPart = 2_500_000;
const support = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));

let server: FaultServer;
let directory: TempDir;
let bytes: Buffer;
const processes: Process[] = [];
beforeEach(async () => {
  [server, directory] = await Promise.all([FaultServer.start(), tempDir()]);
  bytes = server.addFile("disk.bin", size);
});
afterEach(async () => {
  await Promise.all(processes.splice(0).map((process) => process.kill()));
  await server[Symbol.asyncDispose]();
  await directory.remove();
});

async function start(script: string, ...args: readonly string[]): Promise<Process> {
  const process_ = await startProcess(process.execPath, [support(script), ...args]);
  processes.push(process_);
  return process_;
}

const startClient = () => start("download-client.ts", server.url, directory.path);

/** Starts a client that has received `firstPart` bytes and gets no more. */
async function startStuckClient(): Promise<Process> {
  server.faults.push({ stallAfter: firstPart });
  const client = await startClient();
  await eventually("the first part to be on the disk", async () => (await partSize()) === firstPart, {
    withinMs: 15_000,
  });
  return client;
}

async function partSize(): Promise<number> {
  return (await stat(join(directory.path, "disk.bin.part"))).size;
}

const rangesAskedFor = () => server.fileRequests.map(({ range }) => range);

async function expectWholeFile(): Promise<void> {
  expect(await readdir(directory.path)).toEqual(["disk.bin"]);
  expect((await readFile(join(directory.path, "disk.bin"))).equals(bytes)).toBe(true);
}

describe("a process that is killed in the middle of a download", () => {
  test("is resumed by the next one, at once, in the same session", async () => {
    const first = await startStuckClient();
    await first.kill();
    expect(await readdir(directory.path)).toContain("disk.bin.part");
    const second = await startClient();
    expect(await second.exited).toEqual({ code: 0, signal: null });
    expect(rangesAskedFor()).toEqual([undefined, `bytes=${firstPart}-`]);
    expect(second.stdout).toContain(`{"bytesFetched":${size - firstPart}}`);
    expect(server.created).toBe(1);
    expect(server.ends).toEqual(["delete"]);
    await expectWholeFile();
  });

  test("is resumed when its session is over, too", async () => {
    const first = await startStuckClient();
    await first.kill();
    server.expireSessions();
    const second = await startClient();
    expect(await second.exited).toMatchObject({ code: 0 });
    expect(rangesAskedFor()).toEqual([undefined, `bytes=${firstPart}-`]);
    expect(server.created).toBe(2);
    await expectWholeFile();
  });

  test("leaves no second session, wherever it is killed", { timeout: 60_000 }, async () => {
    for (const method of ["create", "get", "list", "prepare"]) {
      let reached = false;
      server.beforeCall = (called) => {
        reached ||= called === method;
      };
      const client = await startClient();
      await eventually(`${method} to be called`, () => reached, { withinMs: 15_000 });
      await client.kill();
    }
    const last = await startClient();
    expect(await last.exited).toMatchObject({ code: 0 });
    expect(server.created).toBeLessThanOrEqual(2);
    expect(server.sessions).toEqual([]);
    await expectWholeFile();
  });
});

test("a process that is stopped for longer than its lease goes on with a new session", async () => {
  server.leaseMs = 2_000;
  const client = await startStuckClient();
  client.signal("SIGSTOP");
  await eventually("the session to be over", () =>
    server.sessions.every(({ expiresAt }) => expiresAt < Date.now()),
  );
  client.signal("SIGCONT");
  expect(await client.exited).toMatchObject({ code: 0 });
  expect(server.created).toBe(2);
  expect(rangesAskedFor().at(-1)).toBe(`bytes=${firstPart}-`);
  await expectWholeFile();
});

test("a process that is stopped keeps the directory to itself", async () => {
  const first = await startStuckClient();
  first.signal("SIGSTOP");
  const second = await startClient();
  expect(await second.exited).toEqual({ code: 1, signal: null });
  expect(second.stdout).toContain('{"failed":"busy"}');
  first.signal("SIGCONT");
  expect(await first.exited).toMatchObject({ code: 0 });
  await expectWholeFile();
});

test("a server that is killed in the middle is waited for", async () => {
  const client = await startStuckClient();
  await server.crash();
  await eventually("the client to notice", () => client.stdout.includes("trying again"));
  await server.listen();
  expect(await client.exited).toMatchObject({ code: 0 });
  expect(server.created).toBe(1);
  await expectWholeFile();
});

test("a process that has downloaded everything ends by itself", async () => {
  const client = await startClient();
  expect(await client.exited).toEqual({ code: 0, signal: null });
  expect(client.stderr).toBe("");
});

test("a lock belongs to one process at a time, however many request it, and whenever it is released", async () => {
  const clients = await Promise.all(
    Array.from({ length: 4 }, () => start("lock-client.ts", directory.path, "100")),
  );
  const exits = await Promise.all(clients.map(({ exited }) => exited));
  expect(exits.map(({ code }, index) => [code, clients[index]!.stderr])).toEqual(exits.map(() => [0, ""]));
  expect(await readdir(directory.path)).toEqual([]);
});
