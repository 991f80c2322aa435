import type { PreparationResult, StoredPreparation, VersionedFile } from "../../domain/preparation.ts";
import type { PreparationStore } from "../../domain/preparation-store.ts";
import type { RedisConnection } from "./connection.ts";
import {
  claimPreparationScript,
  findPreparationScript,
  finishPreparationScript,
  releasePreparationScript,
  reportPreparationScript,
} from "./preparation-scripts.ts";

/** Files looked up at a time, so that a large item neither delays other calls nor runs into its own time limit. */
const findChunk = 500;

/** One hash for each file in a content version. Its TTL is the rest of the worker's claim, or of the result's time. */
export class RedisPreparationStore implements PreparationStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async find(files: readonly VersionedFile[]): Promise<(StoredPreparation | undefined)[]> {
    const preparations: (StoredPreparation | undefined)[] = [];
    for (let start = 0; start < files.length; start += findChunk) {
      const inputs = files.slice(start, start + findChunk).map((file) => ({ file }));
      preparations.push(...(await this.#redis.runForEach("findPreparations", findPreparationScript, inputs)));
    }
    return preparations;
  }

  claim(file: VersionedFile, worker: string, claimMs: number): Promise<StoredPreparation | undefined> {
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
