import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
  resolveRange,
} from "../../domain/content-source.ts";
import { orUnavailable } from "./file-system.ts";
import { fileStateOf, type OpenFile } from "./located.ts";

/**
 * A file of a directory, held by its handle, so another file put in its place does not disturb its readers. A change of
 * the file itself shows in its size or modification time, which are checked after the last bytes are read.
 */
export class DirectoryFile implements ContentFile {
  readonly size: number;
  readonly version: string;
  readonly path: string;
  readonly #file: Omit<OpenFile, "path">;
  readonly #reads = new Set<Promise<unknown>>();
  #isClosed = false;

  /** @param path below the root */
  constructor(file: Omit<OpenFile, "path">, version: string, path: string) {
    this.size = file.size;
    this.version = version;
    this.path = path;
    this.#file = file;
  }

  reader(range?: ByteRange): ContentReader {
    const { start, end } = resolveRange(this.size, range);
    let position = start;
    const read = async (into: Uint8Array): Promise<number> => {
      const length = Math.min(into.byteLength, end + 1 - position);
      if (length === 0) return 0;
      const { bytesRead } = await this.#file.handle.read(into, 0, length, position);
      position += bytesRead;
      const isLast = position > end;
      if (bytesRead === 0 || (isLast && (await this.#hasChanged()))) {
        throw new ContentChangedError("the file changed while it was being read");
      }
      return bytesRead;
    };
    return { read: (into) => this.#whileOpen(() => orUnavailable(() => read(into))) };
  }

  /** Waits for running reads: the next file to be opened may get the same descriptor, and they would read that one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#reads);
    await this.#file.handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #whileOpen<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new Error("the file is closed");
    const read = work();
    this.#reads.add(read);
    try {
      return await read;
    } finally {
      this.#reads.delete(read);
    }
  }

  async #hasChanged(): Promise<boolean> {
    const now = fileStateOf(await this.#file.handle.stat({ bigint: true }));
    return now?.size !== this.#file.size || now.modifiedMs !== this.#file.modifiedMs;
  }
}
