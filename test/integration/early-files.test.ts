import { afterEach, describe, expect, test } from "vitest";
import { FileService } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { PreparationStore } from "../../src/domain/preparation-store.ts";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { begin, download } from "../support/download.ts";
import { downloadRig } from "../support/download-rig.ts";
import { eventually } from "../support/eventually.ts";
import { methodClients, tableClients } from "../support/method-clients.ts";
import { addItem, type FileView, openSession, sessionFiles } from "../support/session-files.ts";

/** More than is hashed while a test lasts. */
const endless = 2 ** 38;
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function started(store: StoreKind, settings: Record<string, string>): Promise<TestApp> {
  const app = await startTestApp({ store, settings });
  ends.push(() => app.stop());
  return app;
}

describe.each(storeKinds)("a file whose hashing takes long, %s", (kind) => {
  test("can be read on every protocol before it is verified, and its session says so on every replica", async () => {
    const app = await started(kind, { prepareSeconds: "0.3" });
    const itemId = await addItem(app.contentRoot, { "disk.vmdk": endless, ...waiting() });
    const id = await openSession(app.url, itemId);
    const files = sessionFiles(methodClients.gRPC!(app.url), id);
    for (const name of ["disk.vmdk", ...Object.keys(waiting())]) {
      expect((await files.prepare(name)).status).toMatch(/^PREPAR(ING|E_REQUESTED)$/);
    }
    await eventually(
      "the file to be readable",
      async () => (await files.get("disk.vmdk")).status === "PREPARED",
    );
    for (const [protocol, client] of Object.entries({ ...methodClients, ...tableClients })) {
      const call = client(app.url);
      const listed = (await call(FileService.method.list, {
        download_session_id: id,
      })) as unknown as FileView[];
      const file = await sessionFiles(call, id).get("disk.vmdk");
      for (const each of [file, listed.find(({ name }) => name === "disk.vmdk")!]) {
        expect(each, protocol).toMatchObject({
          status: "PREPARED",
          bytes_transferred: "0",
          size: String(endless),
        });
        expect(each.checksum_info ?? each.error_message, protocol).toBeUndefined();
        expect(each.download_endpoint?.uri, protocol).toContain("/download/");
      }
    }
    // So can one that still waits for its turn.
    const last = await files.get("disk-4.vmdk");
    expect(last.status).toBe("PREPARED");
    const { uri } = (await files.get("disk.vmdk")).download_endpoint!;
    const part = await download("HTTP/1.1", uri, { headers: { range: "bytes=0-9" } });
    expect([part.status, part.body.length, part.headers["repr-digest"]]).toEqual([206, 10, undefined]);
  });

  test("is not given out before with --verify-first", async () => {
    const app = await started(kind, { prepareSeconds: "0", verifyFirst: "on" });
    const itemId = await addItem(app.contentRoot, { "disk.vmdk": endless });
    const files = sessionFiles(methodClients.gRPC!(app.url), await openSession(app.url, itemId));
    await files.prepare("disk.vmdk");
    const file = await eventually("the file to be hashed", async () => {
      const found = await files.get("disk.vmdk");
      return found.status === "PREPARING" && Number(found.bytes_transferred) > 0 ? found : undefined;
    });
    expect(file.download_endpoint).toBeUndefined();
  });

  test("that contradicts its manifest is in ERROR, and stays so", async () => {
    const app = await started(kind, { prepareSeconds: "0" });
    const size = 64 * 2 ** 20;
    const wrong = `SHA256(disk.vmdk)= ${"0".repeat(64)}\n`;
    const itemId = await addItem(app.contentRoot, { "disk.vmdk": size, "item.mf": wrong });
    const files = sessionFiles(methodClients.gRPC!(app.url), await openSession(app.url, itemId));
    const early = await files.prepare("disk.vmdk");
    expect(early.status).toBe("PREPARED");
    const { uri } = early.download_endpoint!;
    const failed = { status: "ERROR", error_message: { id: "downlease.file.checksum_mismatch" } };
    await eventually(
      "the hash to be compared",
      async () => (await files.get("disk.vmdk")).status === "ERROR",
    );
    expect(await files.get("disk.vmdk")).toMatchObject(failed);
    expect((await download("HTTP/1.1", uri)).status).toBe(404);
    // Hashed once more, it is not given out meanwhile.
    const again = await files.prepare("disk.vmdk");
    expect(again.download_endpoint).toBeUndefined();
    await eventually("the hash to be compared again", async () => {
      const file = await files.get("disk.vmdk");
      expect(file.download_endpoint).toBeUndefined();
      return file.status === "ERROR";
    });
  });
});

/** Large files that wait for their turn behind the first ones. */
function waiting(): Record<string, number> {
  return Object.fromEntries([1, 2, 3, 4].map((n) => [`disk-${n}.vmdk`, endless]));
}

test("a download is cut when the hash of its file contradicts the manifest, by whichever replica", async () => {
  let isWrong = false;
  const mismatch = { status: "ERROR", messageId: "downlease.file.checksum_mismatch", args: [] } as const;
  const preparations: Pick<PreparationStore, "find"> = {
    find: async (files) => files.map(() => (isWrong ? mismatch : { status: "PREPARING", bytesDone: 1 })),
  };
  const rig = await downloadRig({ preparations });
  ends.push(() => rig.stop());
  await rig.addFile("disk.bin", Buffer.alloc(24 * 2 ** 20));
  const session = await rig.open();
  const url = rig.url + rig.link(session, "disk.bin");
  const [one, two] = await Promise.all([begin("HTTP/1.1", url), begin("HTTP/2", url)]);
  isWrong = true;
  await eventually("both to be cut", () => rig.records.length === 2);
  expect(rig.records.map(({ outcome }) => outcome)).toEqual(["checksum_mismatch", "checksum_mismatch"]);
  expect([(await one.finish()).isWhole, (await two.finish()).isWhole]).toEqual([false, false]);
  expect((await download("HTTP/1.1", url)).status).toBe(404);
});
