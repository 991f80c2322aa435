import type { ChecksumAlgorithm, ItemFile } from "./content-source.ts";
import type { FailureMessageId } from "./errors.ts";

/** A file of an item in one content version. Its preparation counts for every session and replica. */
export interface VersionedFile {
  readonly itemId: string;
  readonly contentVersion: string;
  readonly fileName: string;
}

/** Checksums in lower-case hexadecimal; SHA256 is always there. */
export type Digests = Readonly<Partial<Record<ChecksumAlgorithm, string>> & { readonly SHA256: string }>;

/** How far a file is on the way to its first download. The names are those of `FileInfo.PrepareStatus`. */
export type Preparation =
  | { readonly status: "UNPREPARED" }
  /** Requested, and waiting for its turn or for a replica that has gone. */
  | ({ readonly status: "PREPARE_REQUESTED" } & Suspicion)
  | ({ readonly status: "PREPARING"; readonly bytesDone: number } & Suspicion)
  | PreparationResult;

interface Suspicion {
  /** Set when the file contradicted its manifest before: it is withheld until it is verified. */
  readonly verifyFirst?: true;
}

export type PreparationResult =
  | { readonly status: "PREPARED"; readonly digests: Digests }
  /** The id of a message that says why, and its arguments. */
  | { readonly status: "ERROR"; readonly messageId: string; readonly args: readonly string[] };

/** The preparations that stores keep; a file without one is UNPREPARED. */
export type StoredPreparation = Extract<Preparation, { status: "PREPARING" }> | PreparationResult;

const dayMs = 24 * 60 * 60 * 1_000;

/** How long PREPARED is kept after it was last read. */
export const resultKeptMs = 30 * dayMs;

/** PREPARED is renewed by a read once it has lost this much of its time, so that few reads become writes. */
export const resultRenewedMs = dayMs;

const failureKeptMs = 60_000;

/** How long a result is kept: what may be over soon for a minute, what is certain like PREPARED. */
export function keptMs(result: PreparationResult): number {
  return result.status === "PREPARED" || isMismatch(result) ? resultKeptMs : failureKeptMs;
}

/** Whether the bytes of a file are known to be wrong. */
export function isMismatch(preparation: Preparation): boolean {
  return preparation.status === "ERROR" && preparation.messageId === mismatchId;
}

const mismatchId: FailureMessageId = "downlease.file.checksum_mismatch";

/** Whether nobody may have the file, not even one that has a link. */
export function isWithheld(preparation: Preparation): boolean {
  return isMismatch(preparation) || ("verifyFirst" in preparation && preparation.verifyFirst === true);
}

/** Prepares files for download: computes and checks their checksums, once for each content version. */
export interface Preparations {
  /** The preparations of files of one item version, in their order. Starts nothing. */
  find(files: readonly VersionedFile[]): Promise<Preparation[]>;

  /**
   * Makes sure that a file is PREPARED or being prepared by some process, and returns how far it is; waits a moment for
   * a preparation that is nearly done.
   *
   * @param itemFile the same file as the content source lists it, with the checksums that it must have
   * @param retry whether a file in ERROR is tried again
   */
  start(file: VersionedFile, itemFile: ItemFile, retry: boolean): Promise<Preparation>;
}
