import { ServiceError } from "../../src/domain/errors.ts";
import type { StoredPreparation, VersionedFile } from "../../src/domain/preparation.ts";
import type { PreparationStore } from "../../src/domain/preparation-store.ts";

type Result = Exclude<StoredPreparation, { status: "PREPARING" }>;
type Entry = { preparation: StoredPreparation; worker?: string; lapsesAt: number };

/** A preparation store for the workers of one process. */
export class MemoryPreparationStore implements PreparationStore {
  isDown = false;
  /** Number of calls by method. */
  readonly calls: Record<string, number> = {};
  readonly #entries = new Map<string, Entry>();

  async find(files: readonly VersionedFile[]): Promise<(StoredPreparation | undefined)[]> {
    this.#count("find");
    return files.map((file) => this.#entry(file)?.preparation);
  }

  async claim(file: VersionedFile, worker: string, claimMs: number): Promise<StoredPreparation | undefined> {
    this.#count("claim");
    const entry = this.#entry(file);
    if (entry !== undefined && entry.preparation.status !== "ERROR" && entry.worker !== worker)
      return entry.preparation;
    this.#entries.set(keyOf(file), {
      preparation: { status: "PREPARING", bytesDone: 0 },
      worker,
      lapsesAt: Date.now() + claimMs,
    });
    return undefined;
  }

  async report(file: VersionedFile, worker: string, bytesDone: number, claimMs: number): Promise<boolean> {
    this.#count("report");
    const entry = this.#claimed(file, worker);
    if (entry === undefined) return false;
    entry.preparation = { status: "PREPARING", bytesDone };
    entry.lapsesAt = Date.now() + claimMs;
    return true;
  }

  async finish(file: VersionedFile, worker: string, result: Result): Promise<boolean> {
    this.#count("finish");
    if (this.#claimed(file, worker) === undefined) return false;
    this.#entries.set(keyOf(file), { preparation: result, lapsesAt: Number.POSITIVE_INFINITY });
    return true;
  }

  async release(file: VersionedFile, worker: string): Promise<void> {
    this.#count("release");
    if (this.#claimed(file, worker) !== undefined) this.forget(file);
  }

  forget(file: VersionedFile): void {
    this.#entries.delete(keyOf(file));
  }

  #entry(file: VersionedFile): Entry | undefined {
    const entry = this.#entries.get(keyOf(file));
    return entry !== undefined && entry.lapsesAt > Date.now() ? entry : undefined;
  }

  #claimed(file: VersionedFile, worker: string): Entry | undefined {
    const entry = this.#entry(file);
    return entry?.worker === worker ? entry : undefined;
  }

  #count(method: string): void {
    if (this.isDown) throw new ServiceError("downlease.store.unavailable");
    this.calls[method] = (this.calls[method] ?? 0) + 1;
  }
}

function keyOf({ itemId, contentVersion, fileName }: VersionedFile): string {
  return JSON.stringify([itemId, contentVersion, fileName]);
}
