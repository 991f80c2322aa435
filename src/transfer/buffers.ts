/**
 * Bytes of a buffer. Measured with a file in the page cache, over HTTP/1.1 on loopback: 64 KiB cost twice the CPU of
 * 256 KiB for each byte, because each buffer is a trip to a thread and back; larger ones gain nothing any more, as they
 * do not stay in the processor's cache.
 */
export const bufferBytes = 256 * 1024;

/** Buffers that are kept for later: what one burst of transfers leaves behind. */
const mostKept = 32;

/** Buffers that transfers use in turn. */
export class Buffers {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(bufferBytes);
  }

  /** Nobody may read or write the buffer any more. */
  giveBack(buffer: Buffer): void {
    if (this.#free.length < mostKept) this.#free.push(buffer);
  }
}
