import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
} from "../../domain/content-source.ts";
import { rangeOf } from "../ranges.ts";
import { available } from "./available.ts";
import { type OpenFile, stateOf } from "./confined.ts";

/**
 * A file of a directory, held by its handle: whoever puts another file in its place does not disturb its readers. Of
 * what is written into the file itself they know by its size and its modification time. That is read after the last
 * bytes, so that a change before it shows.
 */
export class DirectoryFile implements ContentFile {
  readonly size: number;
  readonly version: string;
  readonly path: string;
  readonly #file: OpenFile;
  readonly #underWay = new Set<Promise<unknown>>();
  #isClosed = false;

  /** @param path below the root */
  constructor(file: OpenFile, version: string, path: string) {
    this.size = file.size;
    this.version = version;
    this.path = path;
    this.#file = file;
  }

  reader(range?: ByteRange): ContentReader {
    const { start, end } = rangeOf(this.size, range);
    let position = start;
    const read = async (into: Uint8Array): Promise<number> => {
      const wanted = Math.min(into.byteLength, end + 1 - position);
      if (wanted === 0) return 0;
      const { bytesRead } = await this.#file.handle.read(into, 0, wanted, position);
      position += bytesRead;
      const isLast = position > end;
      if (bytesRead === 0 || (isLast && (await this.#hasChanged()))) {
        throw new ContentChangedError("the file changed while it was being read");
      }
      return bytesRead;
    };
    return { read: (into) => this.#whileOpen(() => available(() => read(into))) };
  }

  /** Waits for reads under way: the next file to be opened may get the same descriptor, and they would read that one. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.allSettled(this.#underWay);
    await this.#file.handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #whileOpen<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new Error("the file is closed");
    const working = work();
    this.#underWay.add(working);
    try {
      return await working;
    } finally {
      this.#underWay.delete(working);
    }
  }

  async #hasChanged(): Promise<boolean> {
    const now = await stateOf(this.#file.handle);
    return now?.size !== this.#file.size || now.modifiedMs !== this.#file.modifiedMs;
  }
}
