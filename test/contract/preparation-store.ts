import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { PreparationResult, VersionedFile } from "../../src/domain/preparation-store.ts";
import { eventually } from "../support/eventually.ts";
import { oddNames } from "../support/odd-names.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

/** Long enough that no claim lapses while a test runs. */
const longMs = 60_000;

export const done: PreparationResult = {
  state: "done",
  digests: { SHA256: "a1".repeat(32), SHA1: "b2".repeat(20) },
};
export const failed: PreparationResult = {
  state: "failed",
  messageId: "downlease.file.corrupt",
  args: ["disk-1.vmdk", "a \"quoted\" 'text' with\nlines and 李"],
};

/** Of an item of its test's own. */
export function newFile(members: Partial<VersionedFile> = {}): VersionedFile {
  return { itemId: `item ${randomUUID()}`, contentVersion: "v1", fileName: "disk-1.vmdk", ...members };
}

/** What every store of preparations must do, whatever it is made of. */
export function preparationStoreContract(backend: TestBackend): void {
  describe(`preparation store: ${backend.name}`, () => {
    jobContract(backend);
    claimContract(backend);
  });
}

function jobContract(backend: TestBackend): void {
  it("tells of a job from its claim to its result, in every instance", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    const expectKnown = async (record: unknown) => {
      expect(await store.find([file])).toEqual([record]);
      expect(await other.find([file])).toEqual([record]);
    };
    await expectKnown(undefined);
    expect(await store.claim(file, "one", longMs)).toBeUndefined();
    await expectKnown({ state: "running", bytesDone: 0 });
    expect(await store.report(file, "one", 5_000_000_000, longMs)).toBe(true);
    await expectKnown({ state: "running", bytesDone: 5_000_000_000 });
    expect(await store.finish(file, "one", done)).toBe(true);
    await expectKnown(done);
    expect(await other.claim(file, "two", longMs)).toEqual(done);
    await expectKnown(done);
  });

  it("tells why a job failed, and gives it to whoever tries again", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    await store.claim(file, "one", longMs);
    await store.report(file, "one", 10, longMs);
    expect(await store.finish(file, "one", failed)).toBe(true);
    expect(await other.find([file])).toEqual([failed]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    expect(await store.find([file])).toEqual([{ state: "running", bytesDone: 0 }]);
    expect(await other.finish(file, "two", done)).toBe(true);
    expect(await store.find([file])).toEqual([done]);
  });

  it("finds what is known of many files in their order", async () => {
    await using stage = await setStage("preparations", backend);
    const { store } = stage;
    const item = newFile();
    const files = Array.from({ length: 1_203 }, (_, index) =>
      newFile({ ...item, fileName: `file ${index}` }),
    );
    const [, running, finished, broken] = files as [
      VersionedFile,
      VersionedFile,
      VersionedFile,
      VersionedFile,
    ];
    const last = files.at(-1)!;
    await store.claim(running, "one", longMs);
    await store.claim(finished, "one", longMs);
    await store.finish(finished, "one", done);
    await store.claim(broken, "two", longMs);
    await store.finish(broken, "two", failed);
    await store.claim(last, "three", longMs);
    const expected: unknown[] = files.map(() => undefined);
    expected.splice(1, 3, { state: "running", bytesDone: 0 }, done, failed);
    expected[1_202] = { state: "running", bytesDone: 0 };
    expect(await store.find(files)).toEqual(expected);
    expect(await store.find([last, broken, last])).toEqual([expected[1_202], failed, expected[1_202]]);
    expect(await store.find([])).toEqual([]);
  });

  it("keeps apart files, versions and items, also those whose names read alike in a row", async () => {
    await using stage = await setStage("preparations", backend);
    const { store } = stage;
    const { itemId } = newFile();
    const files: VersionedFile[] = [
      { itemId, contentVersion: "v1", fileName: "a" },
      { itemId, contentVersion: "v1a", fileName: "" },
      { itemId, contentVersion: "", fileName: "v1a" },
      { itemId: `${itemId}v1`, contentVersion: "", fileName: "a" },
      { itemId, contentVersion: 'v1","a', fileName: "" },
      { itemId, contentVersion: "v1\0a", fileName: "" },
      { itemId, contentVersion: "v2", fileName: "a" },
      ...Object.values(oddNames).map((fileName) => ({ itemId, contentVersion: "v3", fileName })),
    ];
    for (const [index, file] of files.entries()) {
      expect(await store.claim(file, `worker ${index}`, longMs)).toBeUndefined();
      expect(await store.report(file, `worker ${index}`, index, longMs)).toBe(true);
    }
    const records = await store.find(files);
    expect(records).toEqual(files.map((_, index) => ({ state: "running", bytesDone: index })));
  });

  it("takes what knows more of a file than its name", async () => {
    await using stage = await setStage("preparations", backend);
    const file = newFile();
    const wider = { ...file, size: 10, checksums: {} };
    await stage.store.claim(wider, "one", longMs);
    await stage.store.report(wider, "one", 1, longMs);
    expect(await stage.store.find([wider, file])).toEqual(
      [1, 1].map((bytesDone) => ({ state: "running", bytesDone })),
    );
    expect(await stage.store.finish(wider, "one", done)).toBe(true);
    expect(await stage.store.find([file])).toEqual([done]);
  });
}

/** Real time: claims of a few hundred milliseconds, and none that a slow machine must keep. */
function claimContract(backend: TestBackend): void {
  it("gives a job to one worker of many", async () => {
    await using stage = await setStage("preparations", backend);
    const file = newFile();
    const claims = await Promise.all(
      Array.from({ length: 40 }, (_, worker) =>
        (worker % 2 === 0 ? stage.store : stage.second).claim(file, `worker ${worker}`, longMs),
      ),
    );
    expect(claims.filter((known) => known === undefined)).toHaveLength(1);
    expect(claims.filter((known) => known !== undefined)).toEqual(
      Array.from({ length: 39 }, () => ({ state: "running", bytesDone: 0 })),
    );
  });

  it("gives a job again to the worker that has it, which may not have heard the answer, and keeps its work", async () => {
    await using stage = await setStage("preparations", backend);
    const file = newFile();
    await stage.store.claim(file, "one", longMs);
    await stage.store.report(file, "one", 10, longMs);
    expect(await stage.store.claim(file, "one", longMs)).toBeUndefined();
    expect(await stage.second.find([file])).toEqual([{ state: "running", bytesDone: 10 }]);
  });

  it("lets a claim lapse, gives the job to another worker, and refuses everything of the one that lost it", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    await store.claim(file, "one", 200);
    await eventually("the claim to lapse", async () => (await other.find([file]))[0] === undefined);
    expect(await store.report(file, "one", 10, longMs), "nobody has it").toBe(false);
    expect(await store.finish(file, "one", failed), "nobody has it").toBe(false);
    expect(await other.find([file])).toEqual([undefined]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    await other.report(file, "two", 7, longMs);
    expect(await store.report(file, "one", 10, longMs)).toBe(false);
    expect(await store.finish(file, "one", failed)).toBe(false);
    await store.release(file, "one");
    expect(await store.claim(file, "one", longMs)).toEqual({ state: "running", bytesDone: 7 });
    expect(await other.find([file])).toEqual([{ state: "running", bytesDone: 7 }]);
    expect(await other.finish(file, "two", done)).toBe(true);
    expect(await store.report(file, "one", 10, longMs), "it is done").toBe(false);
    expect(await other.finish(file, "two", failed), "it was done").toBe(false);
    expect(await store.find([file])).toEqual([done]);
  });

  it("keeps a claim beyond its first length for as long as its worker reports", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    const claimMs = 1_500;
    await store.claim(file, "one", claimMs);
    const claimedAt = performance.now();
    await eventually("the end of the first length", async () => {
      if (!(await store.report(file, "one", 1, claimMs))) throw new Error("the claim has lapsed");
      return performance.now() > claimedAt + claimMs;
    });
    expect(await other.claim(file, "two", longMs)).toEqual({ state: "running", bytesDone: 1 });
  });

  it("gives back what its worker releases, at once and to anybody", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    await store.release(file, "one");
    await store.claim(file, "one", longMs);
    await other.release(file, "two");
    expect(await other.find([file])).toEqual([{ state: "running", bytesDone: 0 }]);
    await store.release(file, "one");
    expect(await other.find([file])).toEqual([undefined]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    await other.finish(file, "two", done);
    await other.release(file, "two");
    expect(await store.find([file]), "a result is nobody's to give back").toEqual([done]);
  });
}
