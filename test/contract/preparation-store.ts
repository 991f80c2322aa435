import { randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { PreparationResult, VersionedFile } from "../../src/domain/preparation.ts";
import { eventually } from "../support/eventually.ts";
import { oddNames } from "../support/odd-names.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

/** Longer than any test runs. */
const longMs = 60_000;

export const prepared = {
  status: "PREPARED",
  digests: { SHA256: "a1".repeat(32), SHA1: "b2".repeat(20) },
} as const satisfies PreparationResult;
export const failed = {
  status: "ERROR",
  messageId: "downlease.file.corrupt",
  args: ["disk-1.vmdk", "a \"quoted\" 'text' with\nlines and 李"],
} as const satisfies PreparationResult;

/** Of an item of its test's own. */
export function newFile(members: Partial<VersionedFile> = {}): VersionedFile {
  return { itemId: `item ${randomUUID()}`, contentVersion: "v1", fileName: "disk-1.vmdk", ...members };
}

/** The contract of every `PreparationStore`. */
export function preparationStoreContract(backend: TestBackend): void {
  describe(`preparation store: ${backend.name}`, () => {
    jobContract(backend);
    claimContract(backend);
  });
}

function jobContract(backend: TestBackend): void {
  it("shows a job from its claim to its result, in every instance", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    const expectPreparation = async (preparation: unknown) => {
      expect(await store.find([file])).toEqual([preparation]);
      expect(await other.find([file])).toEqual([preparation]);
    };
    await expectPreparation(undefined);
    expect(await store.claim(file, "one", longMs)).toBeUndefined();
    await expectPreparation({ status: "PREPARING", bytesDone: 0 });
    expect(await store.report(file, "one", 5_000_000_000, longMs)).toBe(true);
    await expectPreparation({ status: "PREPARING", bytesDone: 5_000_000_000 });
    expect(await store.finish(file, "one", prepared)).toBe(true);
    await expectPreparation(prepared);
    expect(await other.claim(file, "two", longMs)).toEqual(prepared);
    await expectPreparation(prepared);
  });

  it("shows why a job failed, and lets any worker claim it again", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    await store.claim(file, "one", longMs);
    await store.report(file, "one", 10, longMs);
    expect(await store.finish(file, "one", failed)).toBe(true);
    expect(await other.find([file])).toEqual([failed]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    // Until it is known better, it is withheld; so it is when the worker claims it again.
    const withheld = { status: "PREPARING", bytesDone: 0, verifyFirst: true };
    expect(await store.find([file])).toEqual([withheld]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    expect(await store.claim(file, "three", longMs)).toEqual(withheld);
    expect(await store.report(file, "two", 7, longMs)).toBe(true);
    expect(await store.find([file])).toEqual([{ ...withheld, bytesDone: 7 }]);
    expect(await other.finish(file, "two", prepared)).toBe(true);
    expect(await store.find([file])).toEqual([prepared]);
  });

  it("finds the preparations of many files in their order", async () => {
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
    await store.finish(finished, "one", prepared);
    await store.claim(broken, "two", longMs);
    await store.finish(broken, "two", failed);
    await store.claim(last, "three", longMs);
    const expected: unknown[] = files.map(() => undefined);
    expected.splice(1, 3, { status: "PREPARING", bytesDone: 0 }, prepared, failed);
    expected[1_202] = { status: "PREPARING", bytesDone: 0 };
    expect(await store.find(files)).toEqual(expected);
    expect(await store.find([last, broken, last])).toEqual([expected[1_202], failed, expected[1_202]]);
    expect(await store.find([])).toEqual([]);
  });

  it("distinguishes files, versions and items, also those whose names are the same when joined", async () => {
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
    expect(records).toEqual(files.map((_, index) => ({ status: "PREPARING", bytesDone: index })));
  });

  it("accepts a file with more members than its name", async () => {
    await using stage = await setStage("preparations", backend);
    const file = newFile();
    const wider = { ...file, size: 10, checksums: {} };
    await stage.store.claim(wider, "one", longMs);
    await stage.store.report(wider, "one", 1, longMs);
    expect(await stage.store.find([wider, file])).toEqual(
      [1, 1].map((bytesDone) => ({ status: "PREPARING", bytesDone })),
    );
    expect(await stage.store.finish(wider, "one", prepared)).toBe(true);
    expect(await stage.store.find([file])).toEqual([prepared]);
  });
}

/** Real time: claims of a few hundred milliseconds, and none that a slow machine must keep. */
function claimContract(backend: TestBackend): void {
  it("lets one worker of many claim a job", async () => {
    await using stage = await setStage("preparations", backend);
    const file = newFile();
    const claims = await Promise.all(
      Array.from({ length: 40 }, (_, worker) =>
        (worker % 2 === 0 ? stage.store : stage.second).claim(file, `worker ${worker}`, longMs),
      ),
    );
    expect(claims.filter((claim) => claim === undefined)).toHaveLength(1);
    expect(claims.filter((claim) => claim !== undefined)).toEqual(
      Array.from({ length: 39 }, () => ({ status: "PREPARING", bytesDone: 0 })),
    );
  });

  it("lets the worker that has a job claim it again, as when an answer was lost, and keeps its progress", async () => {
    await using stage = await setStage("preparations", backend);
    const file = newFile();
    await stage.store.claim(file, "one", longMs);
    await stage.store.report(file, "one", 10, longMs);
    expect(await stage.store.claim(file, "one", longMs)).toBeUndefined();
    expect(await stage.second.find([file])).toEqual([{ status: "PREPARING", bytesDone: 10 }]);
  });

  it("lets a claim lapse and another worker have the job, and refuses all calls of the worker that lost it", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    await store.claim(file, "one", 200);
    await eventually("the claim to lapse", async () => (await other.find([file]))[0] === undefined);
    expect(await store.report(file, "one", 10, longMs), "no worker has it").toBe(false);
    expect(await store.finish(file, "one", failed), "no worker has it").toBe(false);
    expect(await other.find([file])).toEqual([undefined]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    await other.report(file, "two", 7, longMs);
    expect(await store.report(file, "one", 10, longMs)).toBe(false);
    expect(await store.finish(file, "one", failed)).toBe(false);
    await store.release(file, "one");
    expect(await store.claim(file, "one", longMs)).toEqual({ status: "PREPARING", bytesDone: 7 });
    expect(await other.find([file])).toEqual([{ status: "PREPARING", bytesDone: 7 }]);
    expect(await other.finish(file, "two", prepared)).toBe(true);
    expect(await store.report(file, "one", 10, longMs), "it is done").toBe(false);
    expect(await other.finish(file, "two", failed), "it was done").toBe(false);
    expect(await store.find([file])).toEqual([prepared]);
  });

  it("extends a claim for as long as its worker reports", async () => {
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
    expect(await other.claim(file, "two", longMs)).toEqual({ status: "PREPARING", bytesDone: 1 });
  });

  it("lets any worker claim a released job at once", async () => {
    await using stage = await setStage("preparations", backend);
    const { store, second: other } = stage;
    const file = newFile();
    await store.release(file, "one");
    await store.claim(file, "one", longMs);
    await other.release(file, "two");
    expect(await other.find([file])).toEqual([{ status: "PREPARING", bytesDone: 0 }]);
    await store.release(file, "one");
    expect(await other.find([file])).toEqual([undefined]);
    expect(await other.claim(file, "two", longMs)).toBeUndefined();
    await other.finish(file, "two", prepared);
    await other.release(file, "two");
    expect(await store.find([file]), "a result can't be released").toEqual([prepared]);
  });
}
