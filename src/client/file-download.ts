import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type FileInfo,
  FileInfo_PrepareStatus as Status,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { type Checksums, checksumsOf, fileHas } from "./checksums.ts";
import { onDisk } from "./disk.ts";
import { DiskLock } from "./disk-lock.ts";
import { DownloadError } from "./download-error.ts";
import type { Fetcher, FetchOutcome, Sink } from "./fetch.ts";
import { type NameRules, nameKey, partName } from "./file-names.ts";
import { type HeldSession, ItemChangedError } from "./held-session.ts";
import { sizeOf } from "./numbers.ts";
import { PartFile } from "./part-file.ts";
import type { ProgressBoard } from "./progress.ts";
import { backOffMs, pause } from "./retry.ts";
import type { Failure, RetryLoop } from "./retry-loop.ts";
import type { StateFile } from "./state-file.ts";

/** A smaller file is started over by the next run, which costs less than saving its state. */
const minResumableBytes = 1024 * 1024;
const pollBackOff = { firstMs: 100, maxMs: 2_000 };

/** The parts of a download that its files share. */
export interface DownloadContext {
  readonly directory: string;
  readonly nameRules: NameRules;
  readonly session: HeldSession;
  readonly fetcher: Fetcher;
  readonly state: StateFile;
  readonly board: ProgressBoard;
  readonly retryLoop: RetryLoop;
  readonly signal: AbortSignal;
  /** Called with the number of bytes that were received. */
  readonly onFetched: (bytes: number) => void;
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
export async function prepareFile(name: string, context: DownloadContext): Promise<PreparedFile> {
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

/** Downloads one file: resumes a partial file, fetches, verifies and renames it. */
export class FileDownload implements Sink {
  readonly #file: PreparedFile;
  readonly #context: DownloadContext;
  readonly #part: PartFile;
  /** The highest number of bytes so far. */
  #maxLength = 0;
  etag: string | undefined;

  private constructor(file: PreparedFile, context: DownloadContext, part: PartFile) {
    this.#file = file;
    this.#context = context;
    this.#part = part;
  }

  /**
   * Downloads a file unless it is present already. Returns which of both happened.
   *
   * @throws DownloadError
   * @throws ItemChangedError
   */
  static async run(file: PreparedFile, context: DownloadContext): Promise<"downloaded" | "present"> {
    const { directory, nameRules, state, board } = context;
    const { name, size } = file;
    using _ = DiskLock.acquire(directory, "file", name, nameKey(name, nameRules));
    const target = join(directory, name);
    const partPath = join(directory, partName(name));
    board.set(name, { size });
    if (await isPresent(target, file, context)) {
      await onDisk(partPath, () => rm(partPath, { force: true }), name);
      await state.removePart(name);
      board.set(name, { state: "done", bytesDone: size });
      return "present";
    }
    await using part = await PartFile.open(partPath, name, file.checksums);
    await new FileDownload(file, context, part).#run(target);
    board.set(name, { state: "done", bytesDone: size });
    return "downloaded";
  }

  get length(): number {
    return this.#part.length;
  }

  get size(): number {
    return this.#file.size;
  }

  async begin(etag: string | undefined): Promise<void> {
    const { state, board } = this.#context;
    const { name, size } = this.#file;
    if (this.#part.length > 0) await this.#part.reset();
    board.set(name, { bytesDone: 0 });
    this.etag = etag;
    if (size < minResumableBytes || etag === undefined || state.part(name)?.etag === etag) return;
    await state.setPart({ name, size, sha256: this.#file.checksums.get("sha256")!, etag });
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    const { board, retryLoop, onFetched } = this.#context;
    const room = this.#part.write(chunk);
    onFetched(chunk.length);
    if (this.#part.length > this.#maxLength) {
      this.#maxLength = this.#part.length;
      retryLoop.recordProgress();
      board.note(undefined);
    }
    board.set(this.#file.name, { bytesDone: this.#part.length });
    return room;
  }

  async #run(target: string): Promise<void> {
    const { state, board } = this.#context;
    const { name } = this.#file;
    await this.#resume();
    for (let attempts = 1; ; attempts++) {
      await this.#fetchAll();
      board.set(name, { state: "verifying" });
      const wrong = this.#part.mismatch();
      if (wrong === undefined) break;
      await this.#part.reset();
      await state.removePart(name);
      const text = `the ${wrong} differs from that of the server`;
      if (attempts === 2) {
        await this.#part.remove();
        throw new DownloadError("checksum", `${name}: ${text}, twice`, { file: name });
      }
      board.note(`${name}: ${text}; the file is downloaded once more`);
      this.etag = undefined;
      this.#maxLength = 0;
    }
    await this.#part.finish(target);
    await state.removePart(name);
  }

  /** Keeps the partial file of an earlier run if it belongs to the same bytes. */
  async #resume(): Promise<void> {
    const { state, board, signal } = this.#context;
    const { name, size, checksums } = this.#file;
    const saved = state.part(name);
    if (saved?.size !== size || saved.sha256 !== checksums.get("sha256")) return await this.#part.reset();
    board.set(name, { state: "verifying" });
    const onRead = () => board.set(name, { bytesDone: this.#part.length });
    this.#maxLength = await this.#part.adopt(size, signal, onRead);
    this.etag = saved.etag;
  }

  async #fetchAll(): Promise<void> {
    const { fetcher, board, retryLoop, signal } = this.#context;
    const { name, size } = this.#file;
    board.set(name, { state: "downloading", bytesDone: this.#part.length });
    let { link } = this.#file;
    let failures = 0;
    while (this.#part.length < size) {
      const before = this.#maxLength;
      const outcome = await fetcher.fetch(link, this, signal);
      await this.#part.flush();
      if (outcome.outcome === "complete") return;
      if (outcome.outcome === "refused") {
        throw new DownloadError("refused", `${name}: ${outcome.text}`, { file: name });
      }
      failures = this.#maxLength > before ? 1 : failures + 1;
      // A link without a file may belong to a session that is gone: the next link is requested without a pause.
      if (outcome.outcome !== "gone" || failures > 1) {
        await retryLoop.recordFailure({ ...failureOf(outcome), file: name }, failures, signal);
      }
      if (outcome.outcome === "gone" || failures > 1) link = await this.#newLink();
    }
  }

  async #newLink(): Promise<string> {
    const { name, size, checksums } = this.#file;
    const again = await prepareFile(name, this.#context);
    // A change of the item usually shows earlier, because each content version has its own session.
    if (again.size !== size || again.checksums.get("sha256") !== checksums.get("sha256")) {
      throw new ItemChangedError();
    }
    this.#context.board.set(name, { state: "downloading" });
    return again.link;
  }
}

function failureOf(outcome: Exclude<FetchOutcome, { outcome: "complete" | "refused" }>): Failure {
  switch (outcome.outcome) {
    case "broken":
      return { text: breakReason(outcome.cause), reason: "unreachable", cause: outcome.cause };
    case "unavailable":
      return {
        text: `the link answers ${outcome.status}`,
        reason: "unreachable",
        retryAfterMs: outcome.retryAfterMs,
      };
    case "gone":
      return { text: `the link answers ${outcome.status}`, reason: "refused" };
  }
}

/** Node.js reports a response that the server cut off as "aborted". */
function breakReason({ message }: Error): string {
  return message === "aborted" ? "the connection was cut" : message;
}

/** Whether the file exists under its final name with the right bytes. */
async function isPresent(
  path: string,
  file: PreparedFile,
  { board, signal }: DownloadContext,
): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isFile() || stats.size !== file.size) return false;
  board.set(file.name, { state: "verifying" });
  return await onDisk(path, () => fileHas(path, file.checksums, signal), file.name);
}
