import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import type { BlockAccess } from "./block-access.ts";
import { BlockLost } from "./block-access.ts";
import type { IndexedBlock } from "./block-index.ts";
import { pieceBytes } from "./blocks.ts";

/** Pieces of a file that had their checksums when this process has read them: a bit each, from the lowest. */
export interface CheckedPieces {
  bits: number;
}

interface StoredBlockParts {
  /** Pieces that are not checked again. */
  readonly checked: CheckedPieces;
  /** Called with the number of bytes after each read. */
  served(bytes: number): void;
  /** Called when the block is of no use; waits until it is removed. */
  drop(reason: "read" | "damaged"): Promise<void>;
}

/** A block that is cached, held open: its removal does not disturb its readers. Every piece is checked as it is read. */
export class StoredBlock implements BlockAccess {
  readonly #handle: FileHandle;
  readonly #block: IndexedBlock;
  readonly #parts: StoredBlockParts;
  /** A piece that is read in parts. */
  #piece: { readonly start: number; readonly bytes: Uint8Array } | undefined;

  constructor(handle: FileHandle, block: IndexedBlock, parts: StoredBlockParts) {
    this.#handle = handle;
    this.#block = block;
    this.#parts = parts;
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    const bytes = await this.#read(into, at);
    this.#parts.served(bytes);
    return bytes;
  }

  async leave(): Promise<void> {
    await this.#handle.close();
  }

  async #read(into: Uint8Array, at: number): Promise<number> {
    const { bytes } = this.#block;
    const start = at - (at % pieceBytes);
    const left = bytes - at;
    const whole = into.byteLength >= left ? left : into.byteLength - (into.byteLength % pieceBytes);
    if (at === start && whole > 0) {
      await this.#readPieces(into.subarray(0, whole), at);
      return whole;
    }
    if (this.#piece?.start !== start) {
      const piece = new Uint8Array(Math.min(pieceBytes, bytes - start));
      await this.#readPieces(piece, start);
      this.#piece = { start, bytes: piece };
    }
    const part = this.#piece!.bytes.subarray(at - start, at - start + into.byteLength);
    into.set(part);
    return part.byteLength;
  }

  /** Fills the buffer with whole pieces. */
  async #readPieces(into: Uint8Array, start: number): Promise<void> {
    for (let done = 0; done < into.byteLength; ) {
      const { bytesRead } = await this.#handle
        .read(into, done, into.byteLength - done, start + done)
        .catch((error: unknown) => this.#lose("read", error));
      if (bytesRead === 0) await this.#lose("damaged");
      done += bytesRead;
    }
    for (let done = 0; done < into.byteLength; done += pieceBytes) {
      const piece = (start + done) / pieceBytes;
      if (!this.#isGood(piece, into.subarray(done, done + pieceBytes))) await this.#lose("damaged");
    }
  }

  #isGood(piece: number, bytes: Uint8Array): boolean {
    const { checked } = this.#parts;
    const bit = 1 << piece;
    if ((checked.bits & bit) !== 0) return true;
    if (crc32(bytes) !== this.#block.checksums[piece]) return false;
    checked.bits |= bit;
    return true;
  }

  async #lose(reason: "read" | "damaged", cause?: unknown): Promise<never> {
    await this.#parts.drop(reason);
    throw new BlockLost("again", { cause });
  }
}
