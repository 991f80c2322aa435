import type { ItemFile } from "./content-source.ts";
import type { Digests, VersionedFile } from "./preparation-store.ts";

/** How far a file is on the way to its first download. */
export type Preparation =
  | { readonly status: "UNPREPARED" }
  /** Asked for, waiting for its turn or for a replica that has gone. */
  | { readonly status: "REQUESTED" }
  | { readonly status: "PREPARING"; readonly bytesDone: number }
  | { readonly status: "PREPARED"; readonly digests: Digests }
  | { readonly status: "FAILED"; readonly messageId: string; readonly args: readonly string[] };

/** Makes files ready for download: computes and checks their checksums, once for each content version. */
export interface Preparations {
  /** How far files of one item version are, in their order. Starts nothing. */
  look(files: readonly VersionedFile[]): Promise<Preparation[]>;

  /**
   * Sees to it that a file is being prepared somewhere, and tells how far it is; waits a moment for what is nearly
   * done. A file that failed is tried again if `retry` is set.
   *
   * @param file as the content source told it, with the checksums to hold it to
   */
  start(file: VersionedFile, told: ItemFile, retry: boolean): Promise<Preparation>;
}
