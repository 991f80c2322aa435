import type {
  PreparationRecord,
  PreparationResult,
  PreparationStore,
  VersionedFile,
} from "../../domain/preparation-store.ts";
import type { RedisConnection } from "./connection.ts";
import {
  claimPreparationScript,
  findPreparationScript,
  finishPreparationScript,
  releasePreparationScript,
  reportPreparationScript,
} from "./preparation-scripts.ts";

/** Files looked up at a time, so that an item of very many neither holds up others nor waits too long for itself. */
const findChunk = 500;

/** One hash for each file in a content version, whose TTL is what the claim of a worker, or the result, has left. */
export class RedisPreparationStore implements PreparationStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async find(files: readonly VersionedFile[]): Promise<(PreparationRecord | undefined)[]> {
    const found: (PreparationRecord | undefined)[] = [];
    for (let start = 0; start < files.length; start += findChunk) {
      const inputs = files.slice(start, start + findChunk).map((file) => ({ file }));
      found.push(...(await this.#redis.runForEach("findPreparations", findPreparationScript, inputs)));
    }
    return found;
  }

  claim(file: VersionedFile, worker: string, claimMs: number): Promise<PreparationRecord | undefined> {
    return this.#redis.run(claimPreparationScript, { file, worker, claimMs });
  }

  report(file: VersionedFile, worker: string, bytesDone: number, claimMs: number): Promise<boolean> {
    return this.#redis.run(reportPreparationScript, { file, worker, bytesDone, claimMs });
  }

  finish(file: VersionedFile, worker: string, result: PreparationResult): Promise<boolean> {
    return this.#redis.run(finishPreparationScript, { file, worker, result });
  }

  async release(file: VersionedFile, worker: string): Promise<void> {
    await this.#redis.run(releasePreparationScript, { file, worker });
  }
}
