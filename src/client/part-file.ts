import { type FileHandle, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type ByteRange, ByteRanges } from "./byte-ranges.ts";
import { type Checksums, ChecksumVerifier, type HashAlgorithm } from "./checksums.ts";
import { diskError, onDisk, syncDirectory } from "./disk.ts";
import { DownloadError } from "./download-error.ts";
import { openOwn } from "./own-files.ts";

const readBytes = 1024 * 1024;
/** Bytes that may wait to be written. */
const maxWaitingBytes = 1024 * 1024;

/** Chunks that follow each other in the file. */
interface Batch {
  readonly start: number;
  readonly chunks: Uint8Array[];
  end: number;
}

/**
 * A partial file and the hashes of its bytes. The caller holds the lock of the file. Errors of the file system are
 * `DownloadError`s with reason `disk`.
 *
 * Bytes are hashed as they arrive, in the order of the file. Those that arrive before others that precede them are read
 * back from the disk, where the operating system still has them in memory.
 */
export class PartFile implements AsyncDisposable {
  readonly #path: string;
  readonly #name: string;
  readonly #handle: FileHandle;
  readonly #expected: Checksums;
  #verifier: ChecksumVerifier;
  /** Bytes that were added. */
  #length = 0;
  /** Bytes from the beginning of the file that are hashed. */
  #hashed = 0;
  /** The bytes that the operating system has accepted. */
  #stored = new ByteRanges();
  #waiting: Batch[] = [];
  #waitingBytes = 0;
  #batch: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  /** Reads back what has to be hashed. */
  #catchingUp: Promise<void> | undefined;
  #isStopping = false;
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

  /**
   * Takes over bytes that are on the disk, and hashes those from the beginning to the first gap. The rest of the file does
   * not count, and is cut off if there is no gap.
   *
   * @param size of the whole file
   * @param ranges that are right; by default all bytes of the file
   */
  async adopt(
    size: number,
    ranges: readonly ByteRange[] | undefined,
    signal: AbortSignal,
    onRead: () => void,
  ): Promise<void> {
    await this.#onDisk(async () => {
      const onDisk = Math.min(size, (await this.#handle.stat()).size);
      const there = ranges ?? [{ start: 0, end: onDisk }];
      this.#stored = new ByteRanges(there.map(({ start, end }) => ({ start, end: Math.min(end, onDisk) })));
      await this.#hashStored(() => {
        signal.throwIfAborted();
        this.#length = this.#hashed;
        onRead();
      });
      signal.throwIfAborted();
      this.#length = this.#stored.bytes;
      if (!this.hasGaps) await this.#handle.truncate(this.#length);
    });
  }

  /** Whether bytes are missing before others that are on the disk. */
  get hasGaps(): boolean {
    return this.#stored.prefix < this.#stored.bytes;
  }

  /** The bytes that the operating system has accepted. */
  get stored(): readonly ByteRange[] {
    return [...this.#stored].map(({ start, end }) => ({ start, end }));
  }

  /** Syncs the bytes that were stored when it was called. */
  async sync(): Promise<void> {
    await this.#onDisk(() => this.#handle.datasync());
  }

  /**
   * Adds bytes, none of which is there. Bytes that are added during a write are written together. Returns a promise if the
   * caller should wait before adding more, or if a write has failed.
   *
   * @param position in the file
   */
  write(chunk: Uint8Array, position: number): Promise<void> | undefined {
    if (this.#failure !== undefined) return this.flush();
    if (position === this.#hashed) this.#hash(chunk);
    this.#length += chunk.length;
    this.#wait(chunk, position);
    this.#waitingBytes += chunk.length;
    this.#writing ??= this.#writeWaiting();
    return this.#waitingBytes < maxWaitingBytes ? undefined : this.#room();
  }

  #wait(chunk: Uint8Array, position: number): void {
    const end = position + chunk.length;
    const batch = this.#waiting.find((each) => each.end === position);
    if (batch === undefined) this.#waiting.push({ start: position, chunks: [chunk], end });
    else {
      batch.chunks.push(chunk);
      batch.end = end;
    }
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
    this.#isStopping = true;
    await this.#catchingUp;
    this.#isStopping = false;
    this.#length = 0;
    this.#hashed = 0;
    this.#stored = new ByteRanges();
    this.#verifier = new ChecksumVerifier(this.#expected.keys());
    await this.#onDisk(() => this.#handle.truncate(0));
  }

  /**
   * The first algorithm whose checksum differs; undefined if all match. Call it once the file has all bytes; after a
   * mismatch, call `reset`.
   */
  async mismatch(): Promise<HashAlgorithm | undefined> {
    await this.flush();
    await this.#catchingUp;
    await this.#onDisk(() => this.#hashStored(() => {}));
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
    this.#isStopping = true;
    await this.#writing;
    await this.#catchingUp;
    await this.#handle.close();
  }

  #hash(bytes: Uint8Array): void {
    this.#verifier.update(bytes);
    this.#hashed += bytes.length;
  }

  /** Hashes the bytes that are stored up to the first gap. */
  async #hashStored(onRead: () => void): Promise<void> {
    const buffer = Buffer.allocUnsafe(readBytes);
    while (this.#hashed < this.#stored.prefix && !this.#isStopping) {
      const count = Math.min(readBytes, this.#stored.prefix - this.#hashed);
      const { bytesRead } = await this.#handle.read(buffer, 0, count, this.#hashed);
      if (bytesRead === 0) {
        throw new DownloadError("disk", `${this.#path} has become shorter`, { file: this.#name });
      }
      this.#hash(buffer.subarray(0, bytesRead));
      onRead();
    }
  }

  async #catchUp(): Promise<void> {
    try {
      await this.#hashStored(() => {});
    } catch (error) {
      this.#failure ??= error;
    } finally {
      this.#catchingUp = undefined;
    }
  }

  /** Writes until no bytes wait, or a write fails. */
  async #writeWaiting(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batches = this.#waiting;
        this.#waiting = [];
        this.#waitingBytes = 0;
        const batch = this.#writeAll(batches);
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

  async #writeAll(batches: readonly Batch[]): Promise<void> {
    for (const { start, chunks, end } of batches) {
      let { bytesWritten } = await this.#handle.writev(chunks, start);
      // A short write may mean that the disk is full. Writing the rest shows the error.
      if (bytesWritten < end - start) {
        this.#stored.add(start, start + bytesWritten);
        const rest = Buffer.concat(chunks);
        while (bytesWritten < rest.length) {
          const at = start + bytesWritten;
          const written = await this.#handle.write(rest, bytesWritten, rest.length - bytesWritten, at);
          bytesWritten += written.bytesWritten;
          this.#stored.add(start, start + bytesWritten);
        }
      }
      this.#stored.add(start, end);
      if (this.#hashed < this.#stored.prefix) this.#catchingUp ??= this.#catchUp();
    }
  }

  #onDisk<T>(work: () => Promise<T>): Promise<T> {
    return onDisk(this.#path, work, this.#name);
  }
}
