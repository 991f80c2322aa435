import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Service, startService } from "../support/service.ts";
import { writeSmallLibrary } from "../support/small-library.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let dir: TempDir;
let service: Service | undefined;

beforeEach(async () => {
  dir = await tempDir();
  await writeSmallLibrary(dir.path);
});
afterEach(async () => {
  await service?.kill();
  await dir.remove();
});

async function start(leaseSeconds: number, ...flags: string[]): Promise<void> {
  service = await startService([
    ...flags,
    ...["--sqlite-path", join(dir.path, "sessions.db")],
    ...["--content-root", join(dir.path, "library")],
    ...["--lease-seconds", String(leaseSeconds)],
  ]);
}

interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of several shapes, held to them by expectations
  readonly body: any;
}

async function call(method: string, request: object): Promise<Answer> {
  const response = await fetch(`${service!.url}/content.library.item.v1.DownloadSessionService/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  return { status: response.status, body: await response.json() };
}

async function create(): Promise<string> {
  const { body } = await call("Create", { createSpec: { libraryItemId: "item-1" } });
  return body.downloadSessionId;
}

it("sessions survive a crash of the service with their state, progress and expiry", async () => {
  await start(60);
  const active = await create();
  const failed = await create();
  await call("KeepAlive", { downloadSessionId: active, progress: "42" });
  await call("Fail", { downloadSessionId: failed, clientErrorMessage: "disk full" });
  const sessions = () => Promise.all([active, failed].map((id) => call("Get", { downloadSessionId: id })));
  const before = await sessions();
  expect(before.map(({ body }) => body.downloadSession)).toMatchObject([
    { state: "STATE_ACTIVE", clientProgress: "42" },
    { state: "STATE_ERROR", errorMessage: { defaultMessage: "disk full" } },
  ]);

  await service!.kill();
  await start(60);

  expect(await sessions()).toEqual(before);
  expect((await call("List", {})).body).toEqual({ downloadSessionIds: [active, failed] });
  expect((await call("KeepAlive", { downloadSessionId: active, progress: "43" })).status).toBe(200);
});

it("a session expires at the time that was promised, also when the service crashed in between", async () => {
  await start(1);
  const id = await create();
  await service!.kill();
  await start(60);
  await eventually("the end of the first lease", async () => {
    const { body } = await call("Get", { downloadSessionId: id });
    return body.code === "not_found";
  });
  expect((await call("List", {})).body).toEqual({});
});

/** Moves everything in the file into the past, as if nobody had looked at it for so long. */
function letPass(ms: number): void {
  const db = new DatabaseSync(join(dir.path, "sessions.db"));
  db.prepare("UPDATE session SET expires_at = expires_at - ?").run(ms);
  db.prepare("UPDATE sign_of_life SET monotonic = monotonic - ?1, wall = wall - ?1").run(ms);
  db.close();
}

describe("a service that was down for longer than the lease", () => {
  it("serves its sessions on, whose leases are longer by that time", async () => {
    await start(60);
    const id = await create();
    const before = (await call("Get", { downloadSessionId: id })).body.downloadSession;
    await service!.kill();
    letPass(600_000);
    await start(60);
    const { body } = await call("Get", { downloadSessionId: id });
    const expiry = (session: { expirationTime: string }) => Date.parse(session.expirationTime);
    // The time by which the sign of life is older than the crash, and that the restart took, is given back, too.
    expect(expiry(body.downloadSession)).toBeGreaterThanOrEqual(expiry(before));
    expect(expiry(body.downloadSession)).toBeLessThan(expiry(before) + 30_000);
    expect((await call("KeepAlive", { downloadSessionId: id, progress: "43" })).status).toBe(200);
    expect(service!.logs).toContainEqual(
      expect.objectContaining({
        level: "info",
        sessions: 1,
        msg: expect.stringMatching(/^the service was down for 6\d\d\.\d s; leases are prolonged by 6/),
      }),
    );
  });

  it.each([
    ["a longer time than is configured", "500"],
    ["any time, when none is configured", "0"],
  ])("has no sessions after %s", async (_, seconds) => {
    await start(60);
    const id = await create();
    await service!.kill();
    letPass(600_000);
    await start(60, "--max-downtime-seconds", seconds);
    expect((await call("Get", { downloadSessionId: id })).body).toMatchObject({ code: "not_found" });
  });
});
