import type { ByteRange } from "./byte-ranges.ts";
import type { ConnectionPool } from "./connection-pool.ts";
import { Connections } from "./connections.ts";
import { DownloadError } from "./download-error.ts";
import type { Fetcher, FetchOutcome } from "./fetch.ts";
import { ItemChangedError } from "./held-session.ts";
import { type PrepareContext, type PreparedFile, prepareFile } from "./prepare-file.ts";
import type { Failure } from "./retry-loop.ts";

/** The parts of a download that fetching a file takes. */
export interface FetchContext extends PrepareContext {
  readonly fetcher: Fetcher;
  readonly pool: ConnectionPool;
  /** Called with the number of bytes that were received. */
  readonly onFetched: (bytes: number) => void;
}

/** The bytes of a file that have arrived, in a partial file or on their way to a stream. */
export interface FileBytes {
  /** Bytes that count towards the size of the file. */
  readonly length: number;
  /**
   * Adds bytes. Returns a promise if the caller should wait before adding more.
   *
   * @param position in the file: that of the next byte, as long as there is one connection
   */
  write(chunk: Uint8Array, position: number): Promise<void> | undefined;
  /** Resolves when all bytes have gone where they go. */
  flush(): Promise<void>;
  /** The next bytes are the first ones of the file. */
  reset(): Promise<void>;
}

/** Saves what the next run needs to resume a file. */
export interface Keeper {
  /** The next bytes are the first ones of the file, which has this ETag. */
  begin(etag: string | undefined): Promise<void>;
  /** Saves which bytes are there, and that there may be gaps between them. */
  saveRanges(): Promise<void>;
}

/** Bytes that have arrived are in the saved ranges after this time, in milliseconds: a crash costs no more of them. */
const saveMs = 1_000;

/** Fetches the bytes of one file until it has all of them, from as many responses as that takes. */
export class FileFetch {
  readonly #file: PreparedFile;
  readonly #context: FetchContext;
  readonly #bytes: FileBytes;
  readonly #keeper: Keeper | undefined;
  readonly #connections: Connections;
  /** The highest number of bytes so far. */
  #maxLength = 0;
  /** Whether there may be gaps between the bytes. */
  #hasGaps = false;
  #saveTimer: NodeJS.Timeout | undefined;
  #saving: Promise<void> = Promise.resolve();
  #saveFailure: unknown;
  etag: string | undefined;

  /** @param keeper undefined if no run can resume the file; it then needs a pool for one connection */
  constructor(file: PreparedFile, context: FetchContext, bytes: FileBytes, keeper?: Keeper) {
    const { fetcher, pool } = context;
    this.#file = file;
    this.#context = context;
    this.#bytes = bytes;
    this.#keeper = keeper;
    this.#connections = new Connections(this, { size: file.size, fetcher, pool });
  }

  /** Goes on with bytes that are there already, or with none. */
  resume(etag: string | undefined, ranges: readonly ByteRange[]): void {
    this.etag = etag;
    this.#maxLength = this.#bytes.length;
    this.#hasGaps = ranges.length > 1 || (ranges[0]?.start ?? 0) > 0;
    this.#connections.reset(ranges);
  }

  /** Discards all bytes. The next ones belong to the file with this ETag. */
  async begin(etag: string | undefined): Promise<void> {
    await this.#stopSaving();
    this.#hasGaps = false;
    if (this.#bytes.length > 0) await this.#bytes.reset();
    this.#context.board.set(this.#file.name, { bytesDone: 0 });
    this.etag = etag;
    await this.#keeper?.begin(etag);
  }

  /** Called before bytes are written that others precede. */
  async allowGaps(): Promise<void> {
    this.#hasGaps = true;
    await this.#save();
    if (this.#saveFailure !== undefined) throw this.#saveFailure;
  }

  write(chunk: Uint8Array, position: number): Promise<void> | undefined {
    const { board, retryLoop, onFetched } = this.#context;
    if (this.#saveFailure !== undefined) throw this.#saveFailure;
    const room = this.#bytes.write(chunk, position);
    onFetched(chunk.length);
    if (this.#bytes.length > this.#maxLength) {
      this.#maxLength = this.#bytes.length;
      retryLoop.recordProgress();
      board.note(undefined);
    }
    board.set(this.#file.name, { bytesDone: this.#bytes.length });
    if (this.#hasGaps) this.#saveTimer ??= setTimeout(() => void this.#save(), saveMs);
    return room;
  }

  /** @throws DownloadError, ItemChangedError */
  async fetchAll(): Promise<void> {
    try {
      await this.#fetchAll();
      await this.#stopSaving();
    } catch (error) {
      await this.#stopSaving();
      if (this.#hasGaps) {
        // The bytes that were not written do not count, and the first error is the one to report.
        await this.#bytes.flush().catch(() => {});
        await this.#keeper?.saveRanges().catch(() => {});
      }
      throw error;
    }
  }

  async #fetchAll(): Promise<void> {
    const { board, retryLoop, signal } = this.#context;
    const { name, size } = this.#file;
    board.set(name, { state: "downloading", bytesDone: this.#bytes.length });
    let { link } = this.#file;
    let failures = 0;
    while (this.#bytes.length < size) {
      const before = this.#maxLength;
      const outcome = await this.#connections.fetch(link, signal);
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

  /** Saves the ranges once more; one save follows the other. */
  #save(): Promise<void> {
    this.#saveTimer = undefined;
    this.#saving = this.#saving
      .then(() => this.#keeper?.saveRanges())
      .catch((error) => {
        this.#saveFailure = error;
      });
    return this.#saving;
  }

  async #stopSaving(): Promise<void> {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    await this.#saving;
  }
}

function failureOf(outcome: Exclude<FetchOutcome, { outcome: "complete" | "refused" }>): Failure {
  switch (outcome.outcome) {
    case "broken":
      return { text: breakReason(outcome.cause), reason: "unreachable", cause: outcome.cause };
    case "unfit":
      return { text: "the server sent another range than the requested one", reason: "unreachable" };
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
