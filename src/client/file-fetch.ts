import {
  type FileInfo,
  FileInfo_PrepareStatus as Status,
} from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { type Checksums, checksumsOf } from "./checksums.ts";
import { DownloadError } from "./download-error.ts";
import type { Fetcher, FetchOutcome, Sink } from "./fetch.ts";
import { type HeldSession, ItemChangedError } from "./held-session.ts";
import { sizeOf } from "./numbers.ts";
import type { ProgressBoard } from "./progress.ts";
import { backOffMs, pause } from "./retry.ts";
import type { Failure, RetryLoop } from "./retry-loop.ts";

const pollBackOff = { firstMs: 100, maxMs: 2_000 };

/** The parts of a download that fetching a file takes. */
export interface FetchContext {
  readonly session: HeldSession;
  readonly fetcher: Fetcher;
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
export async function prepareFile(name: string, context: FetchContext): Promise<PreparedFile> {
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

/** The bytes of a file that have arrived, in a partial file or on their way to a stream. */
export interface FileBytes {
  /** Bytes that count towards the size of the file. */
  readonly length: number;
  /** Adds bytes. Returns a promise if the caller should wait before adding more. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Resolves when all bytes have gone where they go. */
  flush(): Promise<void>;
  /** The next bytes are the first ones of the file. */
  reset(): Promise<void>;
}

/** Fetches the bytes of one file until it has all of them, from as many responses as that takes. */
export class FileFetch implements Sink {
  readonly #file: PreparedFile;
  readonly #context: FetchContext;
  readonly #bytes: FileBytes;
  readonly #onBegin: (etag: string | undefined) => Promise<void>;
  /** The highest number of bytes so far. */
  #maxLength = 0;
  etag: string | undefined;

  /** @param onBegin called with the ETag of the next bytes when they are the first ones of the file */
  constructor(
    file: PreparedFile,
    context: FetchContext,
    bytes: FileBytes,
    onBegin: (etag: string | undefined) => Promise<void> = async () => {},
  ) {
    this.#file = file;
    this.#context = context;
    this.#bytes = bytes;
    this.#onBegin = onBegin;
  }

  get length(): number {
    return this.#bytes.length;
  }

  get size(): number {
    return this.#file.size;
  }

  /** Goes on with bytes that are there already, or with none. */
  resume(etag: string | undefined): void {
    this.etag = etag;
    this.#maxLength = this.#bytes.length;
  }

  async begin(etag: string | undefined): Promise<void> {
    if (this.#bytes.length > 0) await this.#bytes.reset();
    this.#context.board.set(this.#file.name, { bytesDone: 0 });
    this.etag = etag;
    await this.#onBegin(etag);
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    const { board, retryLoop, onFetched } = this.#context;
    const room = this.#bytes.write(chunk);
    onFetched(chunk.length);
    if (this.#bytes.length > this.#maxLength) {
      this.#maxLength = this.#bytes.length;
      retryLoop.recordProgress();
      board.note(undefined);
    }
    board.set(this.#file.name, { bytesDone: this.#bytes.length });
    return room;
  }

  /** @throws DownloadError, ItemChangedError */
  async fetchAll(): Promise<void> {
    const { fetcher, board, retryLoop, signal } = this.#context;
    const { name, size } = this.#file;
    board.set(name, { state: "downloading", bytesDone: this.#bytes.length });
    let { link } = this.#file;
    let failures = 0;
    while (this.#bytes.length < size) {
      const before = this.#maxLength;
      const outcome = await fetcher.fetch(link, this, signal);
      await this.#bytes.flush();
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
        text: `${outcome.isStorage ? "the storage" : "the link"} answers ${outcome.status}`,
        reason: "unreachable",
        retryAfterMs: outcome.retryAfterMs,
      };
    case "denied":
      return { text: `the storage answers ${outcome.status}`, reason: "refused" };
    case "gone":
      return { text: `the link answers ${outcome.status}`, reason: "refused" };
  }
}

/** Node.js reports a response that the server cut off as "aborted". */
function breakReason({ message }: Error): string {
  return message === "aborted" ? "the connection was cut" : message;
}
