import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientEnvironment, clients, debianPython, reasonAgainst } from "../support/clients.ts";
import { readSection, runSteps, stepsOf } from "../support/pages.ts";
import { startProcess } from "../support/process.ts";
import { startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
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
    expect(headings).toEqual(clients);
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
  testWith("grpcio")("is told what is wrong", async () => {
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

  testWith("govmomi")("govmomi is told that its password is wrong", async () => {
    const outcome = await run("govmomi", address("bob:correct-horse@"), "lease", "photon");
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("401 Unauthorized") });
  });

  testWith("VMware's SDKs")("the SDKs' requests are answered for who has logged in", async () => {
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
