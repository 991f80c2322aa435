import type { Downlease } from "./connect.ts";
import { DownloadError } from "./download-error.ts";
import type { DownloadProgress } from "./progress.ts";

export interface DownloadOptions {
  readonly itemId: string;
  /** Names of the files; all by default. */
  readonly files?: readonly string[];
  /** Where the files go; made when it is not there. */
  readonly directory: string;
  /** Files at once; 4 by default. */
  readonly parallel?: number;
  /** Cancels the download. What there is of the files is kept. */
  readonly signal?: AbortSignal;
  /** At most ten times a second, whenever a file's state changes, and at the end. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** How long to go on without any progress, in milliseconds; two minutes by default. */
  readonly patienceMs?: number;
  /** How long a connection may be silent, in milliseconds; 30 seconds by default. */
  readonly idleMs?: number;
}

export interface DownloadResult {
  readonly itemId: string;
  readonly contentVersion: string;
  readonly files: readonly DownloadedFile[];
  /** Bytes of all the files. */
  readonly bytesTotal: number;
  /** Bytes that this run fetched, repeated ones included. */
  readonly bytesFetched: number;
}

export interface DownloadedFile {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** `present` when the file was there already, and right. */
  readonly outcome: "downloaded" | "present";
}

/**
 * Downloads files of a library item. Resolves when every one of them is complete, verified and has its final name.
 *
 * @throws DownloadError
 */
export async function downloadItem(_server: Downlease, _options: DownloadOptions): Promise<DownloadResult> {
  throw new DownloadError("unreachable", "being built");
}
