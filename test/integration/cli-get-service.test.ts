import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cheapHash } from "../support/auth-calls.ts";
import { makeCertificate } from "../support/certificates.ts";
import { runCommand, runProgram } from "../support/command.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Some tests start several processes one after the other, each of which takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

// get against the service that it is made for.

const disk = Buffer.alloc(3_000_000, "a disk");
const sums = { "disk.vmdk": sha256(disk), "photon.ovf": sha256("<Envelope/>") };

let directory: TempDir;
let service: Service;

function sha256(content: Buffer | string): string {
  return createHash("sha256").update(content).digest("hex");
}

beforeAll(async () => {
  directory = await tempDir();
  const item = join(directory.path, "library", "lib", "photon");
  await mkdir(item, { recursive: true });
  await writeFile(join(item, "disk.vmdk"), disk);
  await writeFile(join(item, "photon.ovf"), "<Envelope/>");
  service = await startService(["--content-root", join(directory.path, "library")]);
});
afterAll(async () => {
  await service.stop();
  await directory.remove();
});

async function expectFiles(target: string): Promise<void> {
  for (const [name, sum] of Object.entries(sums))
    expect(sha256(await readFile(join(target, name)))).toBe(sum);
}

test("get downloads an item by its name, and leaves no session behind", async () => {
  const target = join(directory.path, "plain");
  const outcome = await runProgram(["get", "lib/photon", "-o", target, "--json", "--server", service.url]);
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  const events = outcome.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(events[0]).toMatchObject({ event: "item", name: "lib/photon", directory: target });
  expect(events.at(-1)).toMatchObject({
    event: "result",
    files: Object.entries(sums).map(([name, sum]) => ({ name, sha256: sum, outcome: "downloaded" })),
  });
  await expectFiles(target);
  expect((await runCommand(["sessions", "list", "--json", "--server", service.url])).stdout).toBe("");
});

test("sessions show prints the files of a session", async () => {
  const rpc = async (path: string, body: object) => {
    const answer = await fetch(`${service.url}/content.library.item.${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
    return (await answer.json()) as { downloadSessionId: string };
  };
  const { stdout: items } = await runCommand(["items", "--json", "--server", service.url]);
  const { id: libraryItemId } = JSON.parse(items);
  const { downloadSessionId: id } = await rpc("v1.DownloadSessionService/Create", {
    createSpec: { libraryItemId },
  });
  await rpc("downloadsession.v1.FileService/Prepare", { downloadSessionId: id, fileName: "photon.ovf" });
  const shown = await runCommand(["sessions", "show", id, "--server", service.url]);
  expect(shown).toMatchObject({ code: 0, stderr: "" });
  expect(shown.stdout).toMatch(/^FILE +STATUS +BYTES +SIZE$/m);
  expect(shown.stdout).toMatch(/^disk\.vmdk +UNPREPARED +0 B +2\.86 MiB$/m);
  expect(shown.stdout).toMatch(/^photon\.ovf +(PREPARE_REQUESTED|PREPARING|PREPARED) +\d+ B +11 B$/m);
  const { stdout } = await runCommand(["sessions", "show", id, "--json", "--server", service.url]);
  expect(JSON.parse(stdout).files).toEqual([
    { name: "disk.vmdk", size: 3_000_000, bytes_transferred: 0, status: "UNPREPARED" },
    {
      name: "photon.ovf",
      size: 11,
      bytes_transferred: expect.any(Number),
      status: expect.stringMatching(/PREPAR/),
    },
  ]);
  // A link grants access: none is shown.
  expect(stdout).not.toContain("/download/");
});

test("get logs in over TLS, with the authority of --ca", async () => {
  const users = join(directory.path, "users");
  await writeFile(users, `alice:${cheapHash("correct horse")}:\n`);
  const own = await makeCertificate(directory.path, "own", {
    subject: "/CN=localhost",
    alternativeNames: "IP:127.0.0.1",
  });
  await using guarded = await startService([
    ...["--content-root", join(directory.path, "library"), "--users-file", users],
    ...["--tls-cert", own.path, "--tls-key", own.keyPath],
  ]);
  const target = join(directory.path, "guarded");
  const outcome = await runCommand(["get", "photon", "-q", "-o", target], {
    env: { DOWNLEASE_SERVER: guarded.url, DOWNLEASE_USER: "alice", DOWNLEASE_PASSWORD: "correct horse" },
  });
  expect(outcome).toMatchObject({ code: 5, stdout: "" });
  const trusted = await runCommand(["get", "photon", "-q", "-o", target, "--ca", own.path], {
    env: { DOWNLEASE_SERVER: guarded.url, DOWNLEASE_USER: "alice", DOWNLEASE_PASSWORD: "correct horse" },
  });
  expect(trusted).toEqual({ code: 0, stdout: "", stderr: "" });
  await expectFiles(target);
});
