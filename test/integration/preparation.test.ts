import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import { methodClients } from "../support/method-clients.ts";
import { type Service, startService } from "../support/service.ts";
import { addItem, type FileView, openSession, sessionFiles } from "../support/session-files.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";

/** Takes about a second to hash. */
const large = 384 * 2 ** 20;
/** More than is hashed while a test lasts. */
const endless = 2 ** 38;
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function started(options: Parameters<typeof startTestApp>[0]): Promise<TestApp> {
  // However busy the machine is, a file is PREPARED when it is hashed.
  const settings = { verifyFirst: "on", ...options?.settings };
  const app = await startTestApp({ ...options, settings });
  ends.push(() => app.stop());
  return app;
}

const filesOf = (url: string, sessionId: string) => sessionFiles(methodClients.gRPC!(url), sessionId);
type Files = ReturnType<typeof filesOf>;

const bytesOf = (file: FileView) => Number(file.bytes_transferred);

/** Waits until a file is being read, as one process reports it. */
function untilPreparing(files: Files, name: string, from = 0): Promise<FileView> {
  return eventually(`${name} to be read`, async () => {
    const file = await files.get(name);
    return file.status === "PREPARING" && bytesOf(file) > from ? file : undefined;
  });
}

describe.each(storeKinds)("%s", (kind: StoreKind) => {
  test("a large file is PREPARING while it is read, and calls go on", async () => {
    const app = await started({ store: kind });
    const itemId = await addItem(app.contentRoot, { "large.vmdk": large, "small.ovf": "x" });
    const files = filesOf(app.url, await openSession(app.url, itemId));
    const first = await files.prepare("large.vmdk");
    expect(["PREPARE_REQUESTED", "PREPARING"]).toContain(first.status);
    expect(first.download_endpoint ?? first.checksum_info).toBeUndefined();
    const seen: number[] = [];
    // A small file does not wait for it.
    await files.prepare("small.ovf");
    await eventually("the small file", async () => (await files.get("small.ovf")).status === "PREPARED");
    const ready = await eventually(
      "the large file to be ready",
      async () => {
        const file = await files.get("large.vmdk");
        if (file.status === "PREPARED") return file;
        if (file.status === "PREPARING") seen.push(bytesOf(file));
        return undefined;
      },
      { withinMs: 60_000 },
    );
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(new Set(seen.filter((bytes) => bytes > 0 && bytes < large)).size).toBeGreaterThan(1);
    expect(ready.bytes_transferred).toBe("0");
    // Of that many zeros: `head -c 384M /dev/zero | sha256sum`.
    expect(ready.checksum_info!.checksum).toBe(
      "3201548f7070f0ae5adf2c869b15df99b5f85ca51feda443c1597c130976619a",
    );
    expect(await app.metric("downlease_prepared_bytes_total")).toBe(large + 1);
    expect(await app.metric("downlease_preparations_total")).toBe(2);
    expect(await app.metric("downlease_preparations_running")).toBe(0);
  }, 90_000);

  test("a stop does not wait for a file that is being read", async () => {
    const app = await startTestApp({ store: kind });
    const itemId = await addItem(app.contentRoot, { "endless.vmdk": endless });
    const files = filesOf(app.url, await openSession(app.url, itemId));
    await files.prepare("endless.vmdk");
    await untilPreparing(files, "endless.vmdk");
    await app.stop();
  });

  test("a file that changes while it is read puts its item's session into error", async () => {
    const app = await started({ store: kind });
    const itemId = await addItem(app.contentRoot, { "endless.vmdk": endless });
    const files = filesOf(app.url, await openSession(app.url, itemId));
    await files.prepare("endless.vmdk");
    await untilPreparing(files, "endless.vmdk");
    await writeFile(join(app.contentRoot, "lib", itemId, "endless.vmdk"), "changed");
    const changed = { status: "ERROR", error_message: { id: "downlease.file.changed" } };
    await eventually(
      "the change to be seen",
      async () => (await files.get("endless.vmdk")).status === "ERROR",
    );
    expect(await files.get("endless.vmdk")).toMatchObject(changed);
    // The job notices as well: it is over.
    await eventually(
      "the job to end",
      async () => (await app.metric("downlease_preparations_running")) === 0,
    );
  });
});

describe("replicas on one Redis", () => {
  let first: TestApp;
  let second: TestApp;
  beforeEach(async () => {
    first = await started({ store: "Redis" });
    second = await started({ store: "Redis", settings: { contentRoot: first.contentRoot } });
  });

  test("read a file once, and each reports its progress", async () => {
    const itemId = await addItem(first.contentRoot, { "large.vmdk": large });
    const sessionId = await openSession(first.url, itemId);
    const [here, there] = [filesOf(first.url, sessionId), filesOf(second.url, sessionId)];
    const other = filesOf(second.url, await openSession(second.url, itemId));
    await here.prepare("large.vmdk");
    await untilPreparing(here, "large.vmdk");
    expect((await there.get("large.vmdk")).status).toBe("PREPARING");
    expect((await other.prepare("large.vmdk")).status).toBe("PREPARING");
    const ready: FileView[] = [];
    for (const files of [there, other, here]) {
      ready.push(
        await eventually(
          "the file to be ready",
          async () => {
            const file = await files.get("large.vmdk");
            return file.status === "PREPARED" ? file : undefined;
          },
          { withinMs: 60_000 },
        ),
      );
    }
    expect(new Set(ready.map(({ checksum_info }) => checksum_info!.checksum)).size).toBe(1);
    expect(await first.metric("downlease_prepared_bytes_total")).toBe(large);
    expect(await second.metric("downlease_prepared_bytes_total")).toBe(0);
  }, 90_000);

  test("share many files between them, each of which is read once", async () => {
    const names = Array.from({ length: 40 }, (_, n) => `file-${n}`);
    const itemId = await addItem(first.contentRoot, Object.fromEntries(names.map((name) => [name, 100_000])));
    const sessionId = await openSession(first.url, itemId);
    const replicas = [filesOf(first.url, sessionId), filesOf(second.url, sessionId)];
    await Promise.all(names.flatMap((name) => replicas.map(({ prepare }) => prepare(name))));
    await eventually("all to be ready", async () => {
      const listed = (await replicas[0]!.list()) as FileView[];
      for (const { name } of listed.filter(({ status }) => status !== "PREPARED"))
        await replicas[1]!.get(name);
      return listed.every(({ status }) => status === "PREPARED");
    });
    const read = await Promise.all(
      [first, second].map((app) => app.metric("downlease_prepared_bytes_total")),
    );
    expect(read[0]! + read[1]!).toBe(names.length * 100_000);
  });

  test("one that stops leaves its file to the others at once", async () => {
    const third = await startTestApp({ store: "Redis", settings: { contentRoot: first.contentRoot } });
    const itemId = await addItem(first.contentRoot, { "endless.vmdk": endless });
    const sessionId = await openSession(first.url, itemId);
    await filesOf(third.url, sessionId).prepare("endless.vmdk");
    await untilPreparing(filesOf(third.url, sessionId), "endless.vmdk");
    await third.stop();
    const files = filesOf(first.url, sessionId);
    expect(await first.metric("downlease_preparations_running")).toBe(0);
    await untilPreparing(files, "endless.vmdk");
    expect(await first.metric("downlease_preparations_running")).toBe(1);
  });

  test("one that is killed loses its claim, and the next call starts over", async () => {
    const killed: Service = await startService([
      ...["--redis-url", sharedRedisUrl()],
      ...["--content-root", first.contentRoot],
    ]);
    const itemId = await addItem(first.contentRoot, { "endless.vmdk": endless });
    const sessionId = await openSession(first.url, itemId);
    await filesOf(killed.url, sessionId).prepare("endless.vmdk");
    const files = filesOf(first.url, sessionId);
    await untilPreparing(files, "endless.vmdk");
    expect(await first.metric("downlease_preparations_running")).toBe(0);
    await killed.kill();
    expect((await files.get("endless.vmdk")).status).toBe("PREPARING");
    await eventually(
      "the claim to lapse and the job to start over",
      async () => {
        await files.get("endless.vmdk");
        return (await first.metric("downlease_preparations_running")) === 1;
      },
      { withinMs: 20_000, everyMs: 100 },
    );
    await untilPreparing(files, "endless.vmdk");
  }, 60_000);
});
