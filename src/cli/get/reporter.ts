import { relative } from "node:path";
import type { DownloadProgress, DownloadResult } from "../../client/index.ts";
import { visible } from "../../client/printable.ts";
import { bytes, duration } from "../text.ts";

/** A download as it is presented to the user. */
export interface Subject {
  readonly itemId: string;
  /** `library/item` */
  readonly name: string;
  readonly directory: string;
}

/** Shows how a download goes. */
export interface Reporter {
  /** Before `begin`: a sentence about what the look-up of the item is waiting for. */
  waiting(notice: string): void;
  begin(subject: Subject): void;
  progress(progress: DownloadProgress): void;
  /** All files of an item are complete. */
  done(result: DownloadResult, elapsedMs: number): void;
  failed(error: unknown): void;
  /** After the last item, when at least one was downloaded. */
  finish(total: Total, elapsedMs: number): void;
}

/** What several items have in common with one: the files of all, and the sums. */
export interface Total extends Pick<DownloadResult, "files" | "bytesTotal" | "bytesFetched"> {
  /** Items that are complete, of those of the library; undefined for a single item. */
  readonly library?: { readonly done: number; readonly of: number };
}

/** Shows nothing. */
export const silentReporter: Reporter = {
  waiting() {},
  begin() {},
  progress() {},
  done() {},
  failed() {},
  finish() {},
};

/** Whether any file is being downloaded. If none is, the rate says nothing about the time that is left. */
export function isDownloading({ files }: DownloadProgress): boolean {
  return files.some(({ state }) => state === "downloading");
}

/** The rate of a smaller download says nothing. */
const minRatedBytes = 1024 * 1024;

/** The sentence at the end of a download. */
export function summary({ files, bytesTotal, bytesFetched, library }: Total, elapsedMs: number): string {
  const count = files.length === 1 ? "1 file" : `${files.length} files`;
  const place = library === undefined ? "" : ` in ${library.done} of ${library.of} items`;
  const whole = `${count} of ${bytes(bytesTotal)}${place}, checksums verified`;
  if (bytesFetched === 0) return `${whole}; nothing had to be fetched`;
  const fetched = `${whole}; ${bytes(bytesFetched)} fetched`;
  // For less, the time is that of the calls.
  if (bytesFetched < minRatedBytes) return fetched;
  const time = elapsedMs < 1_000 ? "less than a second" : duration(elapsedMs);
  return `${fetched} in ${time}, ${bytes((bytesFetched * 1000) / Math.max(1, elapsedMs))}/s`;
}

/** One line per file, in the format of `sha256sum --check`. */
export function checksumLines({ files }: DownloadResult): string[] {
  return files.map(({ sha256, path }) => `${sha256}  ${visible(relative("", path))}`);
}
