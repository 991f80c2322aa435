import type { FileHandle } from "node:fs/promises";
import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
} from "../domain/content-source.ts";
import type { OpenFile } from "./confined.ts";

/** A file of a directory, held by its handle: whoever replaces the file does not disturb its readers. */
export class DirectoryFile implements ContentFile {
  readonly size: number;
  readonly version: string;
  readonly path: string;
  readonly #file: OpenFile;

  constructor(file: OpenFile, version: string, path: string) {
    this.size = file.size;
    this.version = version;
    this.path = path;
    this.#file = file;
  }

  reader({ start, end }: ByteRange = { start: 0, end: this.size - 1 }): ContentReader {
    const isRange =
      Number.isSafeInteger(start) &&
      Number.isSafeInteger(end) &&
      0 <= start &&
      start <= end + 1 &&
      end < this.size;
    if (!isRange) throw new RangeError(`bytes ${start} to ${end} are not all in ${this.size} bytes`);
    return new DirectoryReader(this.#file, start, end);
  }

  close(): Promise<void> {
    return this.#file.handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

class DirectoryReader implements ContentReader {
  readonly #file: OpenFile;
  #position: number;
  readonly #end: number;

  constructor(file: OpenFile, start: number, end: number) {
    this.#file = file;
    this.#position = start;
    this.#end = end;
  }

  async read(into: Uint8Array): Promise<number> {
    const wanted = Math.min(into.byteLength, this.#end + 1 - this.#position);
    if (wanted === 0) return 0;
    const { handle } = this.#file;
    const { bytesRead } = await handle.read(into, 0, wanted, this.#position);
    this.#position += bytesRead;
    const isLast = this.#position > this.#end;
    if (bytesRead === 0 || (isLast && (await this.#hasChanged(handle)))) {
      throw new ContentChangedError("the file changed while it was being read");
    }
    return bytesRead;
  }

  async #hasChanged(handle: FileHandle): Promise<boolean> {
    const { size, mtimeMs } = await handle.stat();
    return size !== this.#file.size || Math.floor(mtimeMs) !== this.#file.modifiedMs;
  }
}
