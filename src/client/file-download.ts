import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileHas } from "./checksums.ts";
import { onDisk } from "./disk.ts";
import { DiskLock } from "./disk-lock.ts";
import { DownloadError } from "./download-error.ts";
import { type FetchContext, FileFetch, type Keeper } from "./file-fetch.ts";
import { type NameRules, nameKey, partName } from "./file-names.ts";
import { PartFile } from "./part-file.ts";
import type { PreparedFile } from "./prepare-file.ts";
import type { PartState, StateFile } from "./state-file.ts";

/** A smaller file is started over by the next run, which costs less than saving its state. */
const minResumableBytes = 1024 * 1024;

/** The parts of a download that its files share. */
export interface DownloadContext extends FetchContext {
  readonly directory: string;
  readonly nameRules: NameRules;
  readonly state: StateFile;
}

/** Downloads one file: resumes a partial file, fetches, verifies and renames it. */
export class FileDownload implements Keeper {
  readonly #file: PreparedFile;
  readonly #context: DownloadContext;
  readonly #part: PartFile;
  readonly #fetch: FileFetch;

  private constructor(file: PreparedFile, context: DownloadContext, part: PartFile) {
    this.#file = file;
    this.#context = context;
    this.#part = part;
    this.#fetch = new FileFetch(file, context, part, this);
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

  async begin(etag: string | undefined): Promise<void> {
    const { state } = this.#context;
    const { name, size } = this.#file;
    const saved = state.part(name);
    // Bytes of an unknown version can't be resumed, nor those that are there be taken for the ones of before.
    if (size < minResumableBytes || etag === undefined) await state.removePart(name);
    else if (saved?.etag !== etag || saved.ranges !== undefined) await state.setPart(this.#partState(etag));
  }

  async saveRanges(): Promise<void> {
    const { stored } = this.#part;
    const ranges = stored.map(({ start, end }) => [start, end] as [number, number]);
    // On the disk before the state that counts on them.
    await this.#part.sync();
    await this.#context.state.setPart({ ...this.#partState(this.#fetch.etag), ranges });
  }

  #partState(etag: string | undefined): PartState {
    const { name, size, checksums } = this.#file;
    return { name, size, sha256: checksums.get("sha256")!, ...(etag !== undefined && { etag }) };
  }

  async #run(target: string): Promise<void> {
    const { state, board } = this.#context;
    const { name } = this.#file;
    await this.#resume();
    for (let attempts = 1; ; attempts++) {
      await this.#fetch.fetchAll();
      board.set(name, { state: "verifying" });
      const wrong = await this.#part.mismatch();
      if (wrong === undefined) break;
      await this.#part.reset();
      await state.removePart(name);
      const text = `the ${wrong} differs from that of the server`;
      if (attempts === 2) {
        await this.#part.remove();
        throw new DownloadError("checksum", `${name}: ${text}, twice`, { file: name });
      }
      board.note(`${name}: ${text}; the file is downloaded once more`);
      this.#fetch.resume(undefined, []);
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
    const ranges = saved.ranges?.map(([start, end]) => ({ start, end }));
    await this.#part.adopt(size, ranges, signal, onRead);
    // What is added now follows on the bytes that are there.
    if (ranges !== undefined && !this.#part.hasGaps) await state.setPart(this.#partState(saved.etag));
    this.#fetch.resume(saved.etag, this.#part.stored);
  }
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
