import { createHash, type Hash } from "node:crypto";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";

/** A file that is being hashed. */
export interface Hashing {
  /** A buffer to fill; waits while there is none to spare. One call at a time. */
  buffer(): Promise<Uint8Array<ArrayBuffer>>;
  /** Hashes the first bytes of a buffer that `buffer` gave; it is not the caller's any more. */
  write(buffer: Uint8Array<ArrayBuffer>, length: number): void;
  /** The digests of all that was written, in the order of the algorithms, in lower-case hexadecimal. */
  digests(): Promise<readonly string[]>;
  /** Forgets what was written, if it has not ended. */
  drop(): void;
}

/** The bytes can't be hashed as was asked for. */
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

/** What is hashed before other calls have their turn: SHA-256 takes a tenth of a millisecond for it. */
const pieceBytes = 64 * 1024;

/** Hashes where it is called, which for a small file takes less than to hand it to a thread. */
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
