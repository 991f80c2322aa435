import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  clientEnvironment,
  clients,
  clientsWithoutCommands,
  debianPython,
  reasonAgainst,
} from "../support/clients.ts";
import { eventually } from "../support/eventually.ts";
import { readSection, runSteps, stepsOf } from "../support/pages.ts";
import { startProcess } from "../support/process.ts";
import { startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
import { startSlowProxy } from "../support/slow-proxy.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const root = resolve(import.meta.dirname, "../..");

/** Go compiles govmomi when it is first used, which took 25 s on two cores. */
const timeout = 300_000;

let home: TempDir;
let service: Service;
beforeAll(async () => {
  [home, service] = await Promise.all([tempDir(), startService([])]);
});
afterAll(async () => {
  await service?.stop();
  await home?.remove();
});

/** The `test` for what needs a client: skipped under its name, with the reason, where the client is not installed. */
function testWith(client: string): (name: string, run: () => Promise<void>) => void {
  const reason = reasonAgainst(client);
  if (reason === undefined) return (name, run) => test(name, { timeout }, run);
  return (name) => test.skip(`${name} (skipped: ${reason})`);
}

describe("docs/clients.md", () => {
  for (const client of clients) {
    testWith(client)(`every command of the section on ${client} does what is printed there`, async () => {
      const steps = stepsOf(readSection("docs/clients.md", client));
      expect(steps.length).toBeGreaterThan(0);
      await runSteps(steps, () => service.port, clientEnvironment(home.path));
    });
  }

  test("has a section for each client, and only for these", () => {
    const headings = [...readSection("docs/clients.md").matchAll(/^## (.+)$/gm)].map((match) => match[1]);
    expect(headings).toEqual([...clients, ...clientsWithoutCommands]);
  });
});

const programs: Record<string, readonly [string, ...string[]]> = {
  grpcio: [debianPython, "examples/clients/python/grpc_lease.py"],
  govmomi: ["go", "run", "./examples/clients/govmomi"],
  "VMware's SDKs": [debianPython, "examples/clients/python/json_rpc_lease.py"],
};

/** Runs the example of a client. */
async function run(client: string, ...args: string[]) {
  const [command, ...first] = programs[client]!;
  const env = clientEnvironment(home.path);
  const program = await startProcess(command, [...first, ...args], { cwd: root, env });
  const { code } = await program.exited;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

describe("grpcio", () => {
  testWith("grpcio")("gets an error that says what is wrong", async () => {
    expect(await run("grpcio", `127.0.0.1:${service.port}`, "no-such-item")).toMatchObject({
      code: 1,
      stderr: "NOT_FOUND: Library item 'no-such-item' does not exist.\n",
    });
  });

  testWith("grpcio")("gives up at its deadline when the store hangs", async () => {
    await using redis = await startRedis();
    await using withRedis = await startService(["--redis-url", redis.url]);
    redis.pause();
    const outcome = await run("grpcio", `127.0.0.1:${withRedis.port}`, "photon", "0.3");
    redis.resume();
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(/^DEADLINE_EXCEEDED: /) });
  });
});

/** Lasts 6.7 s at the rate of the slow network, and is much more than its buffers hold. */
const diskBytes = 40 * 2 ** 20;
const slowBytesPerSecond = 6 * 2 ** 20;
const shortLeaseSeconds = 2;

/** The command with which each client downloads the item `appliance`. */
const downloads: Readonly<
  Record<string, (port: number, directory: string) => readonly [string, ...string[]]>
> = {
  curl: (port, directory) => [
    "examples/clients/download.sh",
    `http://alice:secret@127.0.0.1:${port}`,
    "appliance",
    directory,
  ],
  grpcio: (port, directory) => [
    debianPython,
    "examples/clients/python/grpc_download.py",
    `127.0.0.1:${port}`,
    "appliance",
    directory,
  ],
  govc: (port, directory) => [
    "govc",
    "library.export",
    "-u",
    `http://alice:secret@127.0.0.1:${port}`,
    "/demo/appliance",
    directory,
  ],
  "VMware's SDKs": (port, directory) => [
    debianPython,
    "examples/clients/python/json_rpc_download.py",
    `127.0.0.1:${port}`,
    "alice",
    "secret",
    "appliance",
    directory,
  ],
};

describe("a whole item", () => {
  let content: TempDir;
  let digests: Record<string, string>;
  let shortLeased: Service;
  beforeAll(async () => {
    content = await tempDir();
    const item = join(content.path, "demo/appliance");
    await mkdir(item, { recursive: true });
    const files = { "appliance.ovf": "<Envelope/>", "appliance-disk1.vmdk": randomBytes(diskBytes) };
    const sums = Object.entries(files).map(([name, bytes]) => `SHA256(${name})= ${sha256(bytes)}\n`);
    for (const [name, bytes] of Object.entries({ ...files, "appliance.mf": sums.join("") })) {
      await writeFile(join(item, name), bytes);
    }
    digests = await digestsOf(item);
    await writeFile(join(item, ".item.json"), JSON.stringify({ id: "appliance" }));
    const lease = ["--lease-seconds", String(shortLeaseSeconds)];
    shortLeased = await startService(["--content-root", content.path, ...lease]);
  });
  afterAll(async () => {
    await shortLeased?.stop();
    await content?.remove();
  });

  for (const [client, commandFor] of Object.entries(downloads)) {
    const start = (port: number, directory: string) => {
      const [command, ...args] = commandFor(port, directory);
      return startProcess(command, args, { cwd: root, env: clientEnvironment(home.path) });
    };

    testWith(client)(`comes whole with ${client}`, async () => {
      await using directory = await tempDir();
      const program = await start(shortLeased.port, directory.path);
      expect(await program.exited).toMatchObject({ code: 0 });
      expect(await digestsOf(directory.path)).toEqual(digests);
    });

    testWith(client)(`comes whole with ${client} when it takes three leases`, async () => {
      await using directory = await tempDir();
      await using slow = await startSlowProxy(shortLeased.port, slowBytesPerSecond);
      const startedAt = performance.now();
      const program = await start(slow.port, directory.path);
      expect(await program.exited, program.stderr).toMatchObject({ code: 0 });
      // The slow network makes it so; otherwise the test would show nothing.
      expect(performance.now() - startedAt).toBeGreaterThan(3 * shortLeaseSeconds * 1000);
      expect(await digestsOf(directory.path)).toEqual(digests);
    });
  }

  testWith("govc")("is an error of govc when the session is canceled in the middle", async () => {
    await using directory = await tempDir();
    await using slow = await startSlowProxy(shortLeased.port, slowBytesPerSecond);
    const [command, ...args] = downloads.govc!(slow.port, directory.path);
    const program = await startProcess(command, args, { cwd: root, env: clientEnvironment(home.path) });
    const sessions = `${shortLeased.url}/api/content/library/item/download-session`;
    await eventually("the disk to be on its way", () => slow.forwarded > diskBytes / 4, { withinMs: 15_000 });
    for (const id of (await (await fetch(sessions)).json()) as string[]) {
      await fetch(`${sessions}/${id}?action=cancel`, { method: "POST" });
    }
    expect(await program.exited, program.stdout).toMatchObject({ code: 1 });
    expect(program.stderr).toMatch(/unexpected EOF|connection reset/);
  });

  testWith("curl")("is resumed by curl from the same link after the connection was cut", async () => {
    await using directory = await tempDir();
    // Not with a short lease: curl has to be started again, which may take longer than the lease.
    await using service = await startService(["--content-root", content.path]);
    await using slow = await startSlowProxy(service.port, slowBytesPerSecond);
    const [command, ...args] = downloads.curl!(slow.port, directory.path);
    const program = await startProcess(command, args, { cwd: root, env: clientEnvironment(home.path) });
    const disk = join(directory.path, "appliance-disk1.vmdk");
    await eventually("a half of the disk", async () => (await stat(disk)).size > diskBytes / 2, {
      withinMs: 15_000,
    });
    slow.cut();
    expect(await program.exited, program.stderr).toMatchObject({ code: 0 });
    expect(await digestsOf(directory.path)).toEqual(digests);
    expect(slow.forwarded).toBeLessThan(diskBytes * 1.4);
  });
});

/** By name, of the files of a directory. */
async function digestsOf(directory: string): Promise<Record<string, string>> {
  const names = (await readdir(directory)).filter((name) => !name.startsWith(".")).sort();
  const files = names.map(async (name) => [name, sha256(await readFile(join(directory, name)))]);
  return Object.fromEntries(await Promise.all(files));
}

function sha256(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

describe("where callers must log in", () => {
  let guarded: Service;
  const address = (user = "") => `http://${user}127.0.0.1:${guarded.port}`;
  beforeAll(async () => {
    const users = join(home.path, "users");
    const add = `echo correct-horse | ${process.execPath} src/main.ts users add alice --users-file ${users}`;
    await promisify(execFile)("bash", ["-c", add], { cwd: root });
    guarded = await startService(["--auth", "required", "--users-file", users]);
  });
  afterAll(() => guarded?.stop());

  testWith("grpcio")("grpcio is refused", async () => {
    const outcome = await run("grpcio", `127.0.0.1:${guarded.port}`, "photon");
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringMatching(/^UNAUTHENTICATED: /) });
  });

  testWith("govmomi")("govmomi logs in, and again when its login session has been closed", async () => {
    const lease = () => run("govmomi", address("alice:correct-horse@"), "lease", "photon");
    expect(await lease()).toMatchObject({ code: 0, stderr: "" });
    const directory = join(home.path, "rest_sessions");
    for (const name of await readdir(directory)) {
      const { SessionID } = JSON.parse(await readFile(join(directory, name), "utf8"));
      await fetch(`${address()}/api/session`, {
        method: "DELETE",
        headers: { "vmware-api-session-id": SessionID },
      });
    }
    expect(await lease()).toMatchObject({ code: 0, stderr: "" });
  });

  testWith("govc")("govc logs in and exports an item", async () => {
    await using directory = await tempDir();
    const args = ["library.export", "-u", address("alice:correct-horse@"), "/demo/photon", directory.path];
    const program = await startProcess("govc", args, { env: clientEnvironment(home.path) });
    expect(await program.exited, program.stderr).toMatchObject({ code: 0 });
    expect(await digestsOf(directory.path)).toEqual(
      await digestsOf(join(root, "examples/library/demo/photon")),
    );
  });

  testWith("govmomi")("govmomi gets an error for a wrong password", async () => {
    const outcome = await run("govmomi", address("bob:correct-horse@"), "lease", "photon");
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("401 Unauthorized") });
  });

  testWith("VMware's SDKs")("the SDKs' requests are answered after a login", async () => {
    const outcome = await run(
      "VMware's SDKs",
      `127.0.0.1:${guarded.port}`,
      "alice",
      "correct-horse",
      "photon",
    );
    expect(outcome).toMatchObject({ code: 0, stdout: expect.stringMatching(/^logged in: alice$/m) });
  });

  testWith("VMware's SDKs")("the SDKs' requests are refused with a wrong password", async () => {
    const outcome = await run("VMware's SDKs", `127.0.0.1:${guarded.port}`, "alice", "wrong-horse", "photon");
    expect(outcome).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("com.vmware.vapi.std.errors.unauthenticated"),
    });
  });
});
