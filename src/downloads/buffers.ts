/**
 * Size of a download's buffer by the number of buffers in use: a few downloads are fast, many take little memory. Smaller
 * buffers cost more CPU per byte, because each is a trip to another thread and back; larger ones were not measured to
 * cost less (docs/performance.md).
 */
const sizes = [
  { bytes: 2 ** 19, inUse: 8 },
  { bytes: 2 ** 18, inUse: 128 },
  { bytes: 2 ** 16, inUse: Number.POSITIVE_INFINITY },
] as const;

/** Bytes of all free buffers that are kept for later downloads. */
const maxKeptBytes = 16 * 2 ** 20;

/** Buffers that downloads use in turn. */
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

  /** Takes back a buffer that nothing reads or writes any more. */
  giveBack(buffer: Buffer): void {
    this.#inUse--;
    const { byteLength } = buffer;
    if (this.#keptBytes + byteLength > maxKeptBytes) return;
    this.#keptBytes += byteLength;
    this.#kept.get(byteLength)!.push(buffer);
  }

  /** Gives up a buffer that something may still read or write; it is not used again. */
  abandon(): void {
    this.#inUse--;
  }
}
