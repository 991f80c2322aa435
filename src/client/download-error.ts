/** Why a download failed, by what can be done about it. */
export type DownloadFailure =
  /** There is no such item, or it has no such file. */
  | "not_found"
  /** The item changed while it was downloaded, and then again. */
  | "changed"
  /** What came was not what the server has a checksum of, twice. */
  | "checksum"
  /** Somebody else canceled or failed the session. */
  | "lease_lost"
  /** The disk is full, or files can't be written. */
  | "disk"
  /** The server, or the location that it names, could not be reached for longer than the patience. */
  | "unreachable"
  /** The caller is not known or may not, or the server's answers can't be accepted. */
  | "refused"
  /** The server says that it can't make the file ready. */
  | "unavailable_file"
  /** The signal was aborted. */
  | "aborted"
  /** Another process downloads the item into the same directory. */
  | "busy";

/** A download that did not come to its end. No file has its final name that was not verified. */
export class DownloadError extends Error {
  override readonly name = "DownloadError";
  readonly reason: DownloadFailure;
  /** Name of the file that it was about, if it was about one. */
  readonly file?: string;

  constructor(reason: DownloadFailure, message: string, options: { file?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    if (options.file !== undefined) this.file = options.file;
  }
}
