import type { ChecksumAlgorithm } from "./content-source.ts";

/** A file of an item in one content version. Whatever is known of it holds for every session and replica. */
export interface VersionedFile {
  readonly itemId: string;
  readonly contentVersion: string;
  readonly fileName: string;
}

/** Lower-case hexadecimal; SHA256 is always there. */
export type Digests = Readonly<Partial<Record<ChecksumAlgorithm, string>> & { readonly SHA256: string }>;

/** What is known of making a file ready. */
export type PreparationRecord = { readonly state: "running"; readonly bytesDone: number } | PreparationResult;

export type PreparationResult =
  | { readonly state: "done"; readonly digests: Digests }
  /** Why; an id and its arguments, for `ServiceError`-like texts. Forgotten after a minute or so. */
  | { readonly state: "failed"; readonly messageId: string; readonly args: readonly string[] };

/**
 * What is known of preparing files, for every process that uses the same store. A job belongs to one worker at a time:
 * its claim lapses when it has not reported for `claimMs`, and whoever looks next finds nothing. Results are remembered
 * for weeks after they were last asked for. A store that can't be reached rejects with a ServiceError
 * `downlease.store.unavailable` within a second.
 */
export interface PreparationStore {
  /** What is known, in the order of the files; undefined where nothing is. */
  find(files: readonly VersionedFile[]): Promise<(PreparationRecord | undefined)[]>;

  /**
   * Claims the job for a worker if nothing is known, or if it failed. Gives undefined when the worker has it now, also
   * when it had it already; else what is known.
   */
  claim(file: VersionedFile, worker: string, claimMs: number): Promise<PreparationRecord | undefined>;

  /** Tells how far a worker is and keeps its claim. False: it has lost it and is to stop. */
  report(file: VersionedFile, worker: string, bytesDone: number, claimMs: number): Promise<boolean>;

  /** Ends a worker's job with its result. False: it had lost its claim, and the result was dropped. */
  finish(file: VersionedFile, worker: string, result: PreparationResult): Promise<boolean>;

  /** Gives a worker's claim back, as a process that stops does. */
  release(file: VersionedFile, worker: string): Promise<void>;
}
