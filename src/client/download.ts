import { mkdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import pLimit from "p-limit";
import type { FileInfo } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { Downlease } from "./connect.ts";
import { onDisk } from "./disk.ts";
import { DiskLock } from "./disk-lock.ts";
import { DownloadError } from "./download-error.ts";
import { Fetcher } from "./fetch.ts";
import { FileDownload, prepared } from "./file-download.ts";
import { nameProblem, nameTakenByPart, partSuffix } from "./file-names.ts";
import { HeldSession, ItemChanged } from "./held-session.ts";
import { type DownloadProgress, ProgressBoard } from "./progress.ts";
import { Persistence } from "./retry-loop.ts";
import { StateFile } from "./state-file.ts";

export interface DownloadOptions {
  readonly itemId: string;
  /** Names of the files; all by default. */
  readonly files?: readonly string[];
  /** Where the files go; made when it is not there. */
  readonly directory: string;
  /** Files at once; 4 by default. */
  readonly parallel?: number;
  /** Cancels the download, and its session. What there is of the files is kept. */
  readonly signal?: AbortSignal;
  /** At most ten times a second, whenever there is a new notice, and at the end. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** How long to go on when nothing gets on, in milliseconds; two minutes by default. */
  readonly patienceMs?: number;
  /** How long a connection may be silent, in milliseconds; 30 seconds by default. */
  readonly idleMs?: number;
}

export interface DownloadResult {
  readonly itemId: string;
  readonly contentVersion: string;
  /** In the order of the item. */
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

/** Files that are made ready at once; those that others wait for are the server's to put in order. */
const preparationsAtOnce = 16;

/**
 * Downloads files of a library item. Resolves when every one of them is complete, verified and has its final name.
 * Goes on through whatever breaks, for as long as it gets on; what it could not finish, the next call for the same
 * item and directory goes on with.
 *
 * @throws TypeError when the options can't be meant so
 * @throws DownloadError
 */
export async function downloadItem(server: Downlease, options: DownloadOptions): Promise<DownloadResult> {
  const { itemId, parallel = 4, patienceMs = 120_000, idleMs = 30_000, signal } = options;
  const directory = resolve(options.directory);
  if (itemId === "") throw new TypeError("itemId is empty");
  if (!(Number.isSafeInteger(parallel) && parallel > 0)) throw new TypeError("parallel must be 1 or more");
  if (!(patienceMs >= 0)) throw new TypeError("patienceMs must be 0 or more");
  if (!(idleMs > 0)) throw new TypeError("idleMs must be more than 0");
  if (options.files?.length === 0) throw new TypeError("files is empty; leave it out for all files");
  if (signal?.aborted) throw abortedError(signal);
  await onDisk(directory, () => mkdir(directory, { recursive: true }));
  using _lock = DiskLock.take(directory, "item", itemId);
  const state = await StateFile.open(directory, itemId);
  using fetcher = new Fetcher({
    tls: server.tls,
    parallel,
    idleMs,
    onlyTls: server.url.startsWith("https:"),
  });
  return await new Download(server, { ...options, directory, parallel, patienceMs }, state, fetcher).run();
}

type Job = DownloadOptions & Required<Pick<DownloadOptions, "parallel" | "patienceMs">>;

class Download {
  readonly #server: Downlease;
  readonly #job: Job;
  readonly #state: StateFile;
  readonly #fetcher: Fetcher;
  readonly #board: ProgressBoard;
  readonly #persistence: Persistence;
  /** Aborted when the download is over before its end. */
  readonly #stop = new AbortController();
  #session: HeldSession | undefined;
  #bytesFetched = 0;

  constructor(server: Downlease, job: Job, state: StateFile, fetcher: Fetcher) {
    this.#server = server;
    this.#job = job;
    this.#state = state;
    this.#fetcher = fetcher;
    const tell = (progress: DownloadProgress) => {
      // 100 is for what is verified.
      this.#session?.report(Math.min(99, progress.percent));
      job.onProgress?.(progress);
    };
    this.#board = new ProgressBoard(tell, (error) => this.#stop.abort(error));
    this.#persistence = new Persistence(job.patienceMs, (text) => this.#board.note(text));
  }

  async run(): Promise<DownloadResult> {
    const { signal } = this.#job;
    const onAbort = () => this.#stop.abort(abortedError(signal!));
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const session = await this.#open();
      const files = await this.#filesOfOneVersion(session);
      const result = {
        itemId: this.#job.itemId,
        contentVersion: session.contentVersion,
        files,
        bytesTotal: files.reduce((sum, { size }) => sum + size, 0),
        bytesFetched: this.#bytesFetched,
      };
      this.#board.note(undefined);
      this.#board.tell();
      await session.complete();
      await this.#forget();
      return result;
    } catch (error) {
      const failure = explained(error);
      await this.#session?.abandon(failure).catch(() => {});
      throw failure;
    } finally {
      this.#board[Symbol.dispose]();
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async #open(): Promise<HeldSession> {
    const before = this.#state.session.contentVersion;
    const options = {
      server: this.#server,
      itemId: this.#job.itemId,
      state: this.#state,
      persistence: this.#persistence,
      onEnded: (error: DownloadError) => this.#stop.abort(error),
    };
    this.#session = await HeldSession.open(options, this.#stop.signal);
    if (before !== undefined && before !== this.#session.contentVersion) {
      this.#board.note("The item has changed since the last run; files that have changed are started over");
    }
    return this.#session;
  }

  /** An item that changes meanwhile is started over, once: one that changes all the time is never had. */
  async #filesOfOneVersion(session: HeldSession): Promise<DownloadedFile[]> {
    try {
      return await this.#files(session);
    } catch (error) {
      if (!(error instanceof ItemChanged)) throw error;
      this.#board.note("The item has changed; files that have changed are started over");
      return await this.#files(session);
    }
  }

  async #files(session: HeldSession): Promise<DownloadedFile[]> {
    const { directory, parallel, files: names } = this.#job;
    const infos = chosenFiles(await session.files(this.#stop.signal), names);
    this.#board.begin(infos.map(({ name, size }) => ({ name, size: Number(size ?? 0n) })));
    const failed = new AbortController();
    const around = {
      directory,
      session,
      fetcher: this.#fetcher,
      state: this.#state,
      board: this.#board,
      persistence: this.#persistence,
      signal: AbortSignal.any([this.#stop.signal, failed.signal]),
      onFetched: (bytes: number) => {
        this.#bytesFetched += bytes;
      },
    };
    const preparing = pLimit(Math.max(preparationsAtOnce, parallel));
    const downloading = pLimit(parallel);
    const download = async (name: string): Promise<DownloadedFile> => {
      try {
        const file = await preparing(() => prepared(name, around));
        const outcome = await downloading(() => {
          around.signal.throwIfAborted();
          return FileDownload.run(file, around);
        });
        const { size, checksums } = file;
        return { name, path: join(directory, name), size, sha256: checksums.get("sha256")!, outcome };
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    };
    const outcomes = await Promise.allSettled(infos.map(({ name }) => download(name)));
    // The first failure; it has ended the others.
    around.signal.throwIfAborted();
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<DownloadedFile>).value);
  }

  /** Nothing has to be remembered, but what is left of files that were not asked for this time. */
  async #forget(): Promise<void> {
    for (const { name } of this.#state.parts) {
      const path = join(this.#job.directory, name + partSuffix);
      const stats = nameProblem(name) === undefined && (await stat(path).catch(() => undefined));
      if (!stats) await this.#state.removePart(name);
    }
    await this.#state.close();
  }
}

function chosenFiles(infos: readonly FileInfo[], names: readonly string[] | undefined): FileInfo[] {
  const missing = names?.find((name) => !infos.some((info) => info.name === name));
  if (missing !== undefined) {
    throw new DownloadError("not_found", `The item has no file '${missing}'`, { file: missing });
  }
  const chosen = infos.filter(({ name }) => names?.includes(name) ?? true);
  for (const { name } of chosen) {
    const problem = nameProblem(name);
    if (problem === undefined) continue;
    const text = `A file of the item can't be written here: its name, ${JSON.stringify(name)}, ${problem}`;
    throw new DownloadError("refused", text, { file: name });
  }
  const all = infos.map(({ name }) => name);
  if (new Set(all).size < all.length) {
    throw new DownloadError("refused", "Two files of the item have the same name");
  }
  const taken = nameTakenByPart(all);
  if (taken !== undefined) {
    const text = `The item has a file '${taken}', which is what another one is called while it is incomplete`;
    throw new DownloadError("refused", text, { file: taken });
  }
  return chosen;
}

function abortedError(signal: AbortSignal): DownloadError {
  return new DownloadError("aborted", "The download was canceled", { cause: signal.reason });
}

/** What is no failure of a download, a bug or what `onProgress` throws, is left as it is. */
function explained(error: unknown): DownloadError {
  if (error instanceof ItemChanged) {
    return new DownloadError("changed", "The item has changed again while it was downloaded", {
      cause: error,
    });
  }
  if (!(error instanceof ConnectError)) return error as DownloadError;
  const reason = error.code === Code.NotFound ? "not_found" : "refused";
  return new DownloadError(reason, error.rawMessage, { cause: error });
}
