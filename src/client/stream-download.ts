import type { Writable } from "node:stream";
import { type Checksums, ChecksumVerifier } from "./checksums.ts";
import type { Downlease } from "./connect.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { diskError } from "./disk.ts";
import { DownloadError } from "./download-error.ts";
import { Fetcher } from "./fetch.ts";
import { type FileBytes, FileFetch } from "./file-fetch.ts";
import { SessionMemory } from "./held-session.ts";
import { checkItemChoice, type ItemChoice, itemIdOf } from "./item-choice.ts";
import { checkLimits, type DownloadLimits } from "./limits.ts";
import { sizeOf } from "./numbers.ts";
import { prepareFile } from "./prepare-file.ts";
import type { DownloadProgress } from "./progress.ts";
import { abortedError, SessionRun } from "./session-run.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** Options of `downloadToStream`. */
export type StreamOptions = ItemChoice & StreamSettings;

/** Options of `downloadToStream` besides the item. */
export interface StreamSettings extends DownloadLimits {
  /** Name of the file. */
  readonly file: string;
  /** Gets the bytes; it is not ended. */
  readonly output: Writable;
  /** Aborts the download and cancels its session. */
  readonly signal?: AbortSignal;
  /** Called at most ten times a second, with each new notice, and at the end. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** The result of `downloadToStream`. */
export interface StreamedFile {
  readonly itemId: string;
  readonly contentVersion: string;
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** Bytes that were fetched, including repeated ones. */
  readonly bytesFetched: number;
}

/**
 * Writes a file of a library item to a stream. The bytes are written as they arrive, so they count only once it resolves:
 * then they have the size and all checksums that the server has. Retries failures as long as there is progress.
 *
 * @throws TypeError if the options are invalid
 * @throws DownloadError `checksum` or `changed` if what was written is wrong, `disk` if the stream fails
 */
export async function downloadToStream(server: Downlease, options: StreamOptions): Promise<StreamedFile> {
  const { file: name, output, signal } = options;
  const { patienceMs, idleMs, maxBytesPerSecond } = checkLimits(options);
  checkItemChoice(options);
  if (name === "") throw new TypeError("file is empty");
  if (signal?.aborted) throw abortedError(signal);
  const itemId = await itemIdOf(server, { ...options, patienceMs });
  // A stream takes the bytes in their order.
  const pool = new ConnectionPool({ parallel: 1, connections: 1 });
  using fetcher = new Fetcher(server, { connections: pool.max, idleMs, maxBytesPerSecond });
  const run = new SessionRun(server, { ...options, itemId, patienceMs }, new SessionMemory());
  const { board, retryLoop, onFetched } = run;
  // Each failure of the stream is reported by the write that it concerns.
  const ignore = () => {};
  output.on("error", ignore);
  let bytes: StreamBytes | undefined;
  try {
    return await run.run(async (session) => {
      if (bytes !== undefined && bytes.written > 0) throw changedError(name);
      const info = (await session.files(run.signal)).find((each) => each.name === name);
      if (info === undefined) {
        throw new DownloadError("not_found", `The item has no file '${name}'`, { file: name });
      }
      board.begin([{ name, size: sizeOf(info.size) ?? 0 }]);
      const context = { session, fetcher, pool, board, retryLoop, onFetched, signal: run.signal };
      const file = await prepareFile(name, context);
      board.set(name, { size: file.size });
      bytes = new StreamBytes(output, name, file.checksums, run.signal);
      await new FileFetch(file, context, bytes).fetchAll();
      const wrong = bytes.mismatch();
      if (wrong !== undefined) {
        const text = `${name}: the ${wrong} differs from that of the server. What was written is wrong`;
        throw new DownloadError("checksum", text, { file: name });
      }
      board.set(name, { state: "done", bytesDone: file.size });
      const { size, checksums } = file;
      const { contentVersion } = session;
      return {
        itemId,
        contentVersion,
        name,
        size,
        sha256: checksums.get("sha256")!,
        bytesFetched: run.bytesFetched,
      };
    });
  } finally {
    output.off("error", ignore);
  }
}

function changedError(name: string): DownloadError {
  return new DownloadError("changed", `${name} has changed. What was written is of an earlier version`, {
    file: name,
  });
}

/** The bytes of a file on their way to a stream, which takes none of them back. */
class StreamBytes implements FileBytes {
  readonly #output: Writable;
  readonly #name: string;
  readonly #expected: Checksums;
  readonly #signal: AbortSignal;
  readonly #verifier: ChecksumVerifier;
  #length = 0;
  #written = 0;
  /** Resolves when the stream has taken or refused all bytes. */
  #lastWrite: Promise<void> = Promise.resolve();
  #failure: Error | undefined;

  constructor(output: Writable, name: string, expected: Checksums, signal: AbortSignal) {
    this.#output = output;
    this.#name = name;
    this.#expected = expected;
    this.#signal = signal;
    this.#verifier = new ChecksumVerifier(expected.keys());
  }

  get length(): number {
    return this.#length;
  }

  /** Bytes that the stream has got. */
  get written(): number {
    return this.#written;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    // The first bytes of a file that is sent once more were written before. If they differ now, the checksum is wrong.
    const fresh = chunk.subarray(Math.max(0, this.#written - this.#length));
    this.#length += chunk.length;
    if (fresh.length === 0) return undefined;
    this.#verifier.update(fresh);
    this.#written += fresh.length;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#lastWrite = promise;
    const hasRoom = this.#output.write(fresh, (error) => {
      // The first one says what is wrong; a stream that has failed only says that it has.
      this.#failure ??= error ?? undefined;
      resolve();
    });
    return hasRoom && this.#failure === undefined ? undefined : this.flush();
  }

  async flush(): Promise<void> {
    await unlessAborted(this.#lastWrite, this.#signal);
    if (this.#failure !== undefined) throw diskError("the output", this.#failure, this.#name);
  }

  async reset(): Promise<void> {
    await this.flush();
    this.#length = 0;
  }

  mismatch() {
    return this.#verifier.mismatch(this.#expected);
  }
}
