import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientEnvironment, clients, debianPython, reasonAgainst } from "../support/clients.ts";
import { readSection, runSteps, stepsOf } from "../support/pages.ts";
import { startProcess } from "../support/process.ts";
import { startRedis } from "../support/redis-server.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

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

describe("grpcio", () => {
  const example = "examples/clients/python/grpc_lease.py";
  const lease = async (port: number, ...args: string[]) => {
    const program = await startProcess(debianPython, [example, `127.0.0.1:${port}`, ...args]);
    const { code } = await program.exited;
    return { code, stderr: program.stderr.trim() };
  };

  testWith("grpcio")("is told what is wrong", async () => {
    expect(await lease(service.port, "no-such-item")).toEqual({
      code: 1,
      stderr: "NOT_FOUND: Library item 'no-such-item' does not exist.",
    });
  });

  testWith("grpcio")("gives up at its deadline when the store hangs", async () => {
    await using redis = await startRedis();
    await using withRedis = await startService(["--redis-url", redis.url]);
    redis.pause();
    const { code, stderr } = await lease(withRedis.port, "photon", "0.3");
    redis.resume();
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^DEADLINE_EXCEEDED: /) });
  });
});
