import type { PreparationResult, StoredPreparation, VersionedFile } from "./preparation.ts";

/**
 * The preparations of files, shared by every process that uses the same store. A preparation belongs to one worker at a
 * time: its claim lapses when it has not reported for `claimMs`, and the file is then UNPREPARED again. PREPARED is kept
 * for `resultKeptMs` after it was last read, ERROR for `keptMs`. A store that can't be reached rejects with a
 * ServiceError `downlease.store.unavailable` within a second.
 */
export interface PreparationStore {
  /** The preparations of files, in their order; undefined for those that are UNPREPARED. */
  find(files: readonly VersionedFile[]): Promise<(StoredPreparation | undefined)[]>;

  /**
   * Claims a file that is UNPREPARED or in ERROR for a worker; one in ERROR is withheld until it is verified. Returns undefined when the worker has the claim now, also
   * when it had it before; else the preparation that is in the way.
   */
  claim(file: VersionedFile, worker: string, claimMs: number): Promise<StoredPreparation | undefined>;

  /** Records a worker's progress and extends its claim. False: the claim is lost, and the worker must stop. */
  report(file: VersionedFile, worker: string, bytesDone: number, claimMs: number): Promise<boolean>;

  /** Replaces a worker's claim by its result. False: the claim was lost before, and the result is dropped. */
  finish(file: VersionedFile, worker: string, result: PreparationResult): Promise<boolean>;

  /** Gives a worker's claim back, as a process that stops does. */
  release(file: VersionedFile, worker: string): Promise<void>;
}

/**
 * How stores write statuses. The texts are older than the names of the statuses, and stay: replicas of earlier releases
 * may share the store, and databases hold them.
 */
export const storedStatuses = { PREPARING: "running", PREPARED: "done", ERROR: "failed" } as const;

/** A result as stores write it, in JSON. */
export function encodeResult({ status, ...members }: PreparationResult): string {
  return JSON.stringify({ state: storedStatuses[status], ...members });
}

/** Reads what `encodeResult` has written. */
export function decodeResult(text: string): PreparationResult {
  const { state, ...members } = JSON.parse(text) as { readonly state: "done" | "failed" };
  const status = state === storedStatuses.PREPARED ? "PREPARED" : "ERROR";
  return { status, ...members } as PreparationResult;
}
