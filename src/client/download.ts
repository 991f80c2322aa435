import { rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import pLimit from "p-limit";
import type { FileInfo } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import type { Downlease } from "./connect.ts";
import { ConnectionPool, checkConnections } from "./connection-pool.ts";
import { makeDirectories, onDisk } from "./disk.ts";
import { DiskLock } from "./disk-lock.ts";
import { DownloadError } from "./download-error.ts";
import { Fetcher } from "./fetch.ts";
import { FileDownload } from "./file-download.ts";
import { clashOf, type NameRules, nameProblem, partName } from "./file-names.ts";
import type { HeldSession } from "./held-session.ts";
import { checkItemChoice, type ItemChoice, itemIdOf } from "./item-choice.ts";
import { checkLimits, type DownloadLimits } from "./limits.ts";
import { readNameRules } from "./name-rules.ts";
import { sizeOf } from "./numbers.ts";
import { prepareFile } from "./prepare-file.ts";
import { printable } from "./printable.ts";
import type { DownloadProgress } from "./progress.ts";
import { isRetryable } from "./retry.ts";
import { abortedError, SessionRun } from "./session-run.ts";
import { StateFile } from "./state-file.ts";

/** Options of `downloadItem`. */
export type DownloadOptions = ItemChoice & DownloadSettings;

/** Options of `downloadItem` besides the item. */
export interface DownloadSettings extends DownloadLimits {
  /** Names of the files; all files of the item by default. */
  readonly files?: readonly string[];
  /** Directory for the files; created if it does not exist. */
  readonly directory: string;
  /** Files that are downloaded at the same time; 4 by default. */
  readonly parallel?: number;
  /**
   * Connections that a large file gets, 1 to 16; by default one, and up to 4 where the line is long. Files that are
   * downloaded at the same time share them.
   */
  readonly connections?: number;
  /** Aborts the download and cancels its session. Partial files are kept. */
  readonly signal?: AbortSignal;
  /** Called at most ten times a second, with each new notice, and at the end. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** The result of `downloadItem`. */
export interface DownloadResult {
  readonly itemId: string;
  readonly contentVersion: string;
  /** In the order that the item lists them. */
  readonly files: readonly DownloadedFile[];
  /** Bytes of all the files. */
  readonly bytesTotal: number;
  /** Bytes that this run fetched, including repeated ones. */
  readonly bytesFetched: number;
}

/** A file that is complete and verified. */
export interface DownloadedFile {
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** `present` if the file existed already with the right bytes. */
  readonly outcome: "downloaded" | "present";
}

/** Files that the server is asked to prepare at the same time; it decides on their order. */
const maxPreparations = 16;

/**
 * Downloads files of a library item. Resolves when each of them is complete, verified and has its final name. Retries
 * failures as long as there is progress. After a failure, the next call for the same item and directory resumes.
 *
 * @throws TypeError if the options are invalid
 * @throws DownloadError
 */
export async function downloadItem(server: Downlease, options: DownloadOptions): Promise<DownloadResult> {
  const { parallel = 4, connections, signal } = options;
  const directory = resolve(options.directory);
  const { patienceMs, idleMs, maxBytesPerSecond } = checkLimits(options);
  checkItemChoice(options);
  if (!(Number.isSafeInteger(parallel) && parallel > 0)) throw new TypeError("parallel must be 1 or more");
  checkConnections(connections);
  if (options.files?.length === 0) throw new TypeError("files is empty; omit it for all files");
  if (signal?.aborted) throw abortedError(signal);
  const itemId = await itemIdOf(server, { ...options, patienceMs });
  const created = await onDisk(directory, () => makeDirectories(directory));
  try {
    const nameRules = await onDisk(directory, () => readNameRules(directory));
    using _lock = DiskLock.acquire(directory, "item", itemId);
    const state = await StateFile.open(directory, itemId);
    const pool = new ConnectionPool({ parallel, connections });
    using fetcher = new Fetcher(server, { connections: pool.max, idleMs, maxBytesPerSecond });
    const job = { ...options, itemId, directory, nameRules, parallel, pool, patienceMs };
    return await new ItemDownload(server, job, state, fetcher).run();
  } catch (error) {
    if (created !== undefined) await removeEmpty(directory, created);
    throw error;
  }
}

/** Options with their defaults, and what is known about the directory. */
type Job = DownloadSettings &
  Required<Pick<DownloadSettings, "parallel" | "patienceMs">> & {
    readonly itemId: string;
    readonly nameRules: NameRules;
    readonly pool: ConnectionPool;
  };

/** Removes a directory, and those above it up to `last`, as long as they are empty. */
async function removeEmpty(directory: string, last: string): Promise<void> {
  const isRemoved = await rmdir(directory).then(
    () => true,
    () => false,
  );
  if (isRemoved && directory !== last) await removeEmpty(dirname(directory), last);
}

class ItemDownload {
  readonly #job: Job;
  readonly #state: StateFile;
  readonly #fetcher: Fetcher;
  readonly #run: SessionRun;

  constructor(server: Downlease, job: Job, state: StateFile, fetcher: Fetcher) {
    this.#job = job;
    this.#state = state;
    this.#fetcher = fetcher;
    this.#run = new SessionRun(server, job, state);
  }

  async run(): Promise<DownloadResult> {
    const { files, contentVersion } = await this.#inSession();
    await this.#removeState();
    return {
      itemId: this.#job.itemId,
      contentVersion,
      files,
      bytesTotal: files.reduce((sum, { size }) => sum + size, 0),
      bytesFetched: this.#run.bytesFetched,
    };
  }

  async #inSession(): Promise<Pick<DownloadResult, "files" | "contentVersion">> {
    try {
      return await this.#run.run(async (session) => ({
        files: await this.#downloadFiles(session),
        contentVersion: session.contentVersion,
      }));
    } catch (error) {
      if (this.#run.hasSession || isRefused(error)) await this.#state.closeIfEmpty().catch(() => {});
      throw error;
    }
  }

  async #downloadFiles(session: HeldSession): Promise<DownloadedFile[]> {
    const { directory, nameRules, parallel, pool } = this.#job;
    const infos = chosenFiles(await session.files(this.#run.signal), this.#job);
    const { board, retryLoop, onFetched } = this.#run;
    board.begin(infos.map(({ name, size }) => ({ name, size: sizeOf(size) ?? 0 })));
    pool.begin(infos.length);
    const failed = new AbortController();
    const context = {
      directory,
      nameRules,
      session,
      fetcher: this.#fetcher,
      pool,
      state: this.#state,
      board,
      retryLoop,
      onFetched,
      signal: AbortSignal.any([this.#run.signal, failed.signal]),
    };
    const preparing = pLimit(Math.max(maxPreparations, parallel));
    const downloading = pLimit(parallel);
    const download = async (name: string): Promise<DownloadedFile> => {
      try {
        const file = await preparing(() => prepareFile(name, context));
        const outcome = await downloading(() => {
          context.signal.throwIfAborted();
          return FileDownload.run(file, context);
        });
        const { size, checksums } = file;
        return { name, path: join(directory, name), size, sha256: checksums.get("sha256")!, outcome };
      } catch (error) {
        failed.abort(error);
        throw error;
      } finally {
        pool.endFile();
      }
    };
    const outcomes = await Promise.allSettled(infos.map(({ name }) => download(name)));
    // Throws the first failure, which has ended the others.
    context.signal.throwIfAborted();
    return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<DownloadedFile>).value);
  }

  /** Removes the saved state, except that of partial files which this run did not request. */
  async #removeState(): Promise<void> {
    for (const { name } of this.#state.parts) {
      const path = join(this.#job.directory, partName(name));
      const stats = nameProblem(name) === undefined && (await stat(path).catch(() => undefined));
      if (!stats) await this.#state.removePart(name);
    }
    await this.#state.close();
  }
}

/** @throws DownloadError if a file does not exist, or can't be written under its name beside the others */
function chosenFiles(
  infos: readonly FileInfo[],
  { directory, files: names, nameRules }: Pick<Job, "directory" | "files" | "nameRules">,
): FileInfo[] {
  const missing = names?.find((name) => !infos.some((info) => info.name === name));
  if (missing !== undefined) {
    throw new DownloadError("not_found", `The item has no file '${missing}'`, { file: missing });
  }
  const chosen = infos.filter(({ name }) => names?.includes(name) ?? true);
  for (const { name } of chosen) {
    const problem = nameProblem(name);
    if (problem === undefined) continue;
    const text = `The item has a file whose name can't be used: '${printable(name.slice(0, 256))}' ${problem}`;
    throw new DownloadError("refused", text, { file: name });
  }
  const namesOf = (files: readonly FileInfo[]) => files.map(({ name }) => name);
  const clash = clashOf(namesOf(chosen), namesOf(infos), nameRules);
  if (clash === undefined) return chosen;
  const { file, other, isPart } = clash;
  const text = isPart
    ? `The item has a file '${other}', which is the name of '${file}' while that is incomplete`
    : file === other
      ? `The item has two files '${file}'`
      : `The files '${file}' and '${other}' would be one file in ${directory}. Choose a directory whose file system distinguishes their names, or download them one by one into different directories`;
  throw new DownloadError("refused", text, { file: other });
}

/** Whether the server has refused a call, rather than that its answer was lost. */
function isRefused(error: unknown): boolean {
  return error instanceof DownloadError && error.cause instanceof ConnectError && !isRetryable(error.cause);
}
