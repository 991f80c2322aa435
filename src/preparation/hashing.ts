import { createHash, type Hash } from "node:crypto";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";

/** A file that is being hashed. */
export interface Hashing {
  /** A buffer to fill; waits until one is free. One call at a time. */
  buffer(): Promise<Uint8Array<ArrayBuffer>>;
  /** Hashes the first `length` bytes of a buffer from `buffer`, which the caller must not use any more. */
  write(buffer: Uint8Array<ArrayBuffer>, length: number): void;
  /** The digests of all bytes written, in the order of the algorithms, in lower-case hexadecimal. */
  digests(): Promise<readonly string[]>;
  /** Discards a hashing that has not ended. */
  drop(): void;
}

/** The requested digests can't be computed. */
export class HashingFailed extends Error {
  override readonly name = "HashingFailed";
}

/** Several hashes of the same bytes. */
export class Hashes {
  readonly #hashes: readonly Hash[];

  /** @throws Error when there is no such algorithm, or this machine's OpenSSL forbids it */
  constructor(algorithms: readonly ChecksumAlgorithm[]) {
    this.#hashes = algorithms.map((algorithm) => createHash(algorithm.toLowerCase()));
  }

  update(bytes: Uint8Array): void {
    for (const hash of this.#hashes) hash.update(bytes);
  }

  digests(): string[] {
    return this.#hashes.map((hash) => hash.digest("hex"));
  }
}

/** Bytes that are hashed before other calls have their turn: SHA-256 takes a tenth of a millisecond for them. */
const pieceBytes = 64 * 1024;

/** Hashes on the calling thread, which for a small file is faster than the transfer to another thread. */
export class DirectHashing implements Hashing {
  readonly #hashes: Hashes;
  readonly #buffer: Uint8Array<ArrayBuffer>;

  /**
   * @param size bytes that will come
   * @throws HashingFailed
   */
  constructor(algorithms: readonly ChecksumAlgorithm[], size: number) {
    try {
      this.#hashes = new Hashes(algorithms);
    } catch (reason) {
      throw new HashingFailed(String(reason));
    }
    this.#buffer = new Uint8Array(Math.min(size, pieceBytes));
  }

  async buffer(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#buffer;
  }

  write(buffer: Uint8Array<ArrayBuffer>, length: number): void {
    this.#hashes.update(buffer.subarray(0, length));
  }

  async digests(): Promise<readonly string[]> {
    return this.#hashes.digests();
  }

  drop(): void {}
}
