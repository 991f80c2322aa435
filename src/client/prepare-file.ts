import {
  type FileInfo,
  FileInfo_PrepareStatus as Status,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { type Checksums, checksumsOf } from "./checksums.ts";
import { DownloadError } from "./download-error.ts";
import type { HeldSession } from "./held-session.ts";
import { sizeOf } from "./numbers.ts";
import type { ProgressBoard } from "./progress.ts";
import { backOffMs, pause } from "./retry.ts";
import type { RetryLoop } from "./retry-loop.ts";

const pollBackOff = { firstMs: 100, maxMs: 2_000 };

/** The parts of a download that preparing a file takes. */
export interface PrepareContext {
  readonly session: HeldSession;
  readonly board: ProgressBoard;
  readonly retryLoop: RetryLoop;
  readonly signal: AbortSignal;
}

/** A file that the server has prepared. */
export interface PreparedFile {
  readonly name: string;
  readonly link: string;
  readonly size: number;
  /** Includes `sha256`. */
  readonly checksums: Checksums;
}

/**
 * Asks the server to prepare a file, and waits until it is prepared and its checksums are there.
 *
 * @throws DownloadError if the server can't prepare it
 * @throws ItemChangedError
 */
export async function prepareFile(name: string, context: PrepareContext): Promise<PreparedFile> {
  const { session, retryLoop, board, signal } = context;
  let info = await session.prepare(name, signal);
  for (let polls = 1; ; polls++) {
    // A file may be read before the server knows its checksums. Without them it can't be verified.
    if (info.status === Status.PREPARED && checksumsOf(info).size > 0) return toPreparedFile(name, info);
    if (info.status === Status.ERROR) {
      await session.requireUnchanged(signal);
      const text = info.errorMessage?.defaultMessage ?? "the server can't prepare it";
      throw new DownloadError("unavailable_file", `${name}: ${text}`, { file: name });
    }
    board.set(name, { state: "preparing" });
    // Preparation has no time limit as long as the server reports it.
    retryLoop.recordProgress();
    await pause(backOffMs(polls, pollBackOff), signal);
    // A session that has replaced another one has not prepared the file yet.
    info =
      info.status === Status.UNPREPARED
        ? await session.prepare(name, signal)
        : await session.file(name, signal);
  }
}

function toPreparedFile(name: string, info: FileInfo): PreparedFile {
  const link = info.downloadEndpoint?.uri;
  const checksums = checksumsOf(info);
  const size = sizeOf(info.size);
  const refusal =
    link === undefined
      ? "has no link"
      : size === undefined
        ? "has no valid size"
        : !/^[0-9a-f]{64}$/.test(checksums.get("sha256") ?? "")
          ? "has no SHA-256, without which it can't be verified"
          : undefined;
  if (refusal !== undefined) throw new DownloadError("refused", `${name} ${refusal}`, { file: name });
  return { name, link: link!, size: size!, checksums };
}
