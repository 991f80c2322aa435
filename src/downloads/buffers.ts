/**
 * How large a transfer's buffer is, by how many have one: few transfers are to be fast, many are to take little memory.
 * Smaller ones cost more CPU for each byte, because each is a trip to another thread and back; larger ones were not
 * measured to cost less (docs/performance.md).
 */
const sizes = [
  { bytes: 2 ** 19, inUse: 8 },
  { bytes: 2 ** 18, inUse: 128 },
  { bytes: 2 ** 16, inUse: Number.POSITIVE_INFINITY },
] as const;

/** Bytes of all buffers that are kept for later: what a burst of transfers leaves behind. */
const mostKept = 16 * 2 ** 20;

/** Buffers that transfers use in turn. */
export class Buffers {
  readonly #kept = new Map<number, Buffer[]>(sizes.map(({ bytes }) => [bytes, []]));
  #keptBytes = 0;
  #inUse = 0;

  take(): Buffer {
    const { bytes } = sizes.find(({ inUse }) => this.#inUse < inUse)!;
    this.#inUse++;
    const kept = this.#kept.get(bytes)!.pop();
    if (kept === undefined) return Buffer.allocUnsafeSlow(bytes);
    this.#keptBytes -= bytes;
    return kept;
  }

  /** Nobody may read or write the buffer any more. */
  giveBack(buffer: Buffer): void {
    this.#inUse--;
    const { byteLength } = buffer;
    if (this.#keptBytes + byteLength > mostKept) return;
    this.#keptBytes += byteLength;
    this.#kept.get(byteLength)!.push(buffer);
  }

  /** Somebody may still read or write a buffer that was taken: nobody else gets it. */
  abandon(): void {
    this.#inUse--;
  }
}
