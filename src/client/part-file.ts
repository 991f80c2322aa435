import { type FileHandle, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type Checksums, ChecksumVerifier, type HashAlgorithm } from "./checksums.ts";
import { diskError, onDisk, syncDirectory } from "./disk.ts";
import { openOwn } from "./own-files.ts";

const readBytes = 1024 * 1024;
/** Bytes that may wait to be written. */
const maxWaitingBytes = 1024 * 1024;

/**
 * A partial file and the hashes of its bytes. The caller holds the lock of the file. Errors of the file system are
 * `DownloadError`s with reason `disk`.
 */
export class PartFile implements AsyncDisposable {
  readonly #path: string;
  readonly #name: string;
  readonly #handle: FileHandle;
  readonly #expected: Checksums;
  #verifier: ChecksumVerifier;
  /** Bytes that were added, all of which are hashed. */
  #length = 0;
  /** Of those, the bytes that the operating system has accepted. */
  #written = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #batch: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  #failure: unknown;

  private constructor(path: string, name: string, handle: FileHandle, expected: Checksums) {
    this.#path = path;
    this.#name = name;
    this.#handle = handle;
    this.#expected = expected;
    this.#verifier = new ChecksumVerifier(expected.keys());
  }

  /** Opens or creates the file. Its content does not count until `adopt` has read it. */
  static open(path: string, name: string, expected: Checksums): Promise<PartFile> {
    const work = async () => new PartFile(path, name, await openOwn(path, name), expected);
    return onDisk(path, work, name);
  }

  /** Bytes that the file has. */
  get length(): number {
    return this.#length;
  }

  /** Reads the content on disk, up to `maxBytes`, into the hashes, and cuts off the rest. Returns the length. */
  async adopt(maxBytes: number, signal: AbortSignal, onRead: () => void): Promise<number> {
    return this.#onDisk(async () => {
      const buffer = Buffer.allocUnsafe(readBytes);
      while (this.#length < maxBytes) {
        signal.throwIfAborted();
        const count = Math.min(readBytes, maxBytes - this.#length);
        const { bytesRead } = await this.#handle.read(buffer, 0, count, this.#length);
        if (bytesRead === 0) break;
        this.#count(buffer.subarray(0, bytesRead));
        onRead();
      }
      await this.#handle.truncate(this.#length);
      this.#written = this.#length;
      return this.#length;
    });
  }

  /**
   * Appends bytes. Bytes that are added during a write are written together. Returns a promise if the caller should wait
   * before adding more, or if a write has failed.
   */
  write(chunk: Uint8Array): Promise<void> | undefined {
    // Bytes can't follow others that were not written.
    if (this.#failure !== undefined) return this.flush();
    this.#count(chunk);
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    this.#writing ??= this.#writeWaiting();
    return this.#waitingBytes < maxWaitingBytes ? undefined : this.#room();
  }

  async #room(): Promise<void> {
    while (this.#waitingBytes >= maxWaitingBytes) await this.#batch;
    if (this.#failure !== undefined) await this.flush();
  }

  /** Resolves when the operating system has accepted all bytes. */
  async flush(): Promise<void> {
    await this.#writing;
    if (this.#failure !== undefined) throw diskError(this.#path, this.#failure, this.#name);
  }

  /** Discards all bytes. */
  async reset(): Promise<void> {
    await this.flush();
    this.#length = 0;
    this.#written = 0;
    this.#verifier = new ChecksumVerifier(this.#expected.keys());
    await this.#onDisk(() => this.#handle.truncate(0));
  }

  /** The first algorithm whose checksum differs; undefined if all match. After a mismatch, call `reset`. */
  mismatch(): HashAlgorithm | undefined {
    return this.#verifier.mismatch(this.#expected);
  }

  /** Syncs the file and gives it its final name. */
  async finish(target: string): Promise<void> {
    await this.flush();
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
    await this.#writing;
    await this.#handle.close();
  }

  #count(bytes: Uint8Array): void {
    this.#verifier.update(bytes);
    this.#length += bytes.length;
  }

  /** Writes until no bytes wait, or a write fails. */
  async #writeWaiting(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const chunks = this.#waiting;
        this.#waiting = [];
        this.#waitingBytes = 0;
        const batch = this.#writeAll(chunks);
        // `#room` reports the failure as one of the disk.
        this.#batch = batch.catch(() => {});
        await batch;
      }
    } catch (error) {
      this.#failure = error;
      this.#waitingBytes = 0;
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeAll(chunks: Uint8Array[]): Promise<void> {
    let { bytesWritten } = await this.#handle.writev(chunks, this.#written);
    this.#written += bytesWritten;
    const total = chunks.reduce((sum, { length }) => sum + length, 0);
    if (bytesWritten === total) return;
    // A short write may mean that the disk is full. Writing the rest shows the error.
    for (let rest = Buffer.concat(chunks).subarray(bytesWritten); rest.length > 0; ) {
      ({ bytesWritten } = await this.#handle.write(rest, 0, rest.length, this.#written));
      this.#written += bytesWritten;
      rest = rest.subarray(bytesWritten);
    }
  }

  #onDisk<T>(work: () => Promise<T>): Promise<T> {
    return onDisk(this.#path, work, this.#name);
  }
}
