import { printable } from "./printable.ts";

/** Why a download failed. */
export type DownloadFailure =
  /** The item does not exist, or has no such file. */
  | "not_found"
  /** Several items have the name. */
  | "ambiguous"
  /** The item changed twice during the download. */
  | "changed"
  /** The bytes did not match the checksum of the server, twice. */
  | "checksum"
  /** The session was canceled or failed by another client. */
  | "lease_lost"
  /** The disk is full, or files can't be read or written. */
  | "disk"
  /** The server, or the location of a link, was unreachable for longer than `patienceMs`. */
  | "unreachable"
  /** The server rejects the credentials, the caller lacks permission, or a response of the server is not acceptable. */
  | "refused"
  /** The server can't prepare the file. */
  | "unavailable_file"
  /** The signal was aborted. */
  | "aborted"
  /** Another download of the item, or of a file of this name, is running in the directory. */
  | "busy";

/** A failed download. Every file that has its final name is verified. The message is safe to print. */
export class DownloadError extends Error {
  override readonly name = "DownloadError";
  readonly reason: DownloadFailure;
  /** Name of the file that failed, if the failure concerns one file. */
  readonly file?: string;

  constructor(reason: DownloadFailure, message: string, options: { file?: string; cause?: unknown } = {}) {
    super(printable(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    if (options.file !== undefined) this.file = options.file;
  }
}
