import { diskErrorMeaning } from "./disk.ts";
import { DownloadError, type DownloadFailure } from "./download-error.ts";
import { printable } from "./printable.ts";

const reports: Record<DownloadFailure, string> = {
  not_found: "the item or the file does not exist",
  ambiguous: "several items have the name",
  changed: "the item changed twice",
  checksum: "the checksum differs from that of the server",
  lease_lost: "the session was lost",
  disk: "the file can't be written",
  unreachable: "no progress for too long",
  refused: "an answer is not acceptable",
  unavailable_file: "the server can't prepare the file",
  aborted: "the download was aborted",
  busy: "another download is running",
};

/**
 * What the server gets to know about a failed download: the reason, and the file by the name that the server gave it.
 * No path, no address and no text of the local system, because anyone who may look at the session reads it.
 */
export function failureReport(failure: unknown): string {
  if (!(failure instanceof DownloadError)) return "the client failed";
  const { reason, file, cause } = failure;
  const detail = reason === "disk" ? diskErrorMeaning(cause) : undefined;
  const report = detail === undefined ? reports[reason] : `${reports[reason]}: ${detail}`;
  return file === undefined ? report : `${printable(file.slice(0, 256))}: ${report}`;
}
