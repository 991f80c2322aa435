import { constants } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type ChecksumAlgorithm, type Checksums, Digests } from "./checksums.ts";
import { onDisk, syncDirectory } from "./disk.ts";
import { DownloadError } from "./download-error.ts";

const readBytes = 1024 * 1024;

/**
 * A file that is being downloaded, with the digests of what it has. The caller has the file's lock. Whatever goes
 * wrong on the disk is a `DownloadError` of reason `disk`.
 */
export class PartFile implements AsyncDisposable {
  readonly #path: string;
  readonly #name: string;
  readonly #handle: FileHandle;
  readonly #expected: Checksums;
  #digests: Digests;
  #length = 0;

  private constructor(path: string, name: string, handle: FileHandle, expected: Checksums) {
    this.#path = path;
    this.#name = name;
    this.#handle = handle;
    this.#expected = expected;
    this.#digests = new Digests(expected.keys());
  }

  /** Opens what there is, or makes it. Nothing of it counts until `adopt` has read it. */
  static open(path: string, name: string, expected: Checksums): Promise<PartFile> {
    const work = async () => {
      // A link, which might lead anywhere, is not followed.
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0));
      if ((await handle.stat()).isFile()) return new PartFile(path, name, handle, expected);
      await handle.close();
      throw new DownloadError("disk", `${path} is in the way: it is not a file`, { file: name });
    };
    return onDisk(path, work, name);
  }

  /** Bytes that it has. */
  get length(): number {
    return this.#length;
  }

  /** Takes over what is on the disk, up to `maxBytes`, by reading it. Gives how much that is. */
  async adopt(maxBytes: number, signal: AbortSignal, onRead: () => void): Promise<number> {
    return this.#onDisk(async () => {
      const buffer = Buffer.allocUnsafe(readBytes);
      while (this.#length < maxBytes) {
        signal.throwIfAborted();
        const wanted = Math.min(readBytes, maxBytes - this.#length);
        const { bytesRead } = await this.#handle.read(buffer, 0, wanted, this.#length);
        if (bytesRead === 0) break;
        this.#count(buffer.subarray(0, bytesRead));
        onRead();
      }
      await this.#handle.truncate(this.#length);
      return this.#length;
    });
  }

  /** Adds bytes at the end. One call at a time. */
  async write(chunk: Uint8Array): Promise<void> {
    await this.#onDisk(async () => {
      const position = this.#length;
      // The digests are computed while the system writes.
      const writing = this.#writeAt(chunk, position);
      this.#count(chunk);
      await writing;
    });
  }

  /** Throws away what there is. */
  async reset(): Promise<void> {
    this.#length = 0;
    this.#digests = new Digests(this.#expected.keys());
    await this.#onDisk(() => this.#handle.truncate(0));
  }

  /** The first checksum that the bytes do not have; undefined when they have all. A reset has to follow if any. */
  mismatch(): ChecksumAlgorithm | undefined {
    return this.#digests.mismatch(this.#expected);
  }

  /** Gives the file its final name, when all of it is on the disk. */
  async finish(target: string): Promise<void> {
    await this.#onDisk(async () => {
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#path, target);
      await syncDirectory(dirname(target));
    });
  }

  async remove(): Promise<void> {
    await this.#onDisk(() => rm(this.#path, { force: true }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  #count(bytes: Uint8Array): void {
    this.#digests.update(bytes);
    this.#length += bytes.length;
  }

  async #writeAt(chunk: Uint8Array, position: number): Promise<void> {
    let written = 0;
    while (written < chunk.length) {
      const { bytesWritten } = await this.#handle.write(
        chunk,
        written,
        chunk.length - written,
        position + written,
      );
      written += bytesWritten;
    }
  }

  #onDisk<T>(work: () => Promise<T>): Promise<T> {
    return onDisk(this.#path, work, this.#name);
  }
}
