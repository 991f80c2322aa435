import type { ByteRange, ContentFile, ContentReader } from "../../domain/content-source.ts";
import type { LocatedFile } from "../located-file.ts";

/** A body that was read needs a moment to end, so that its connection can be used again. */
const bodyEndMs = 1_000;

/** A running request for bytes of a file. */
export class Upstream {
  readonly end: number;
  /** Of the next byte. */
  position: number;
  readonly #file: ContentFile;
  readonly #reader: ContentReader;

  constructor(located: LocatedFile, range: ByteRange) {
    this.position = range.start;
    this.end = range.end;
    this.#file = located.open();
    this.#reader = this.#file.reader(range);
  }

  /** As `ContentReader.read`. */
  async read(into: Uint8Array): Promise<number> {
    const bytes = await this.#reader.read(into);
    this.position += bytes;
    return bytes;
  }

  /** Ends the request; a running read rejects. */
  close(): void {
    const close = () => void this.#file.close().catch(() => {});
    if (this.position <= this.end) close();
    else setTimeout(close, bodyEndMs).unref();
  }
}

/** Requests that have come to the end of a block, for the reader that is the first to need the next one. */
export class ParkedUpstreams {
  readonly #parked = new Map<string, Upstream>();

  /** Keeps a request until it is taken or withdrawn; closes one that is at its end, or not needed. */
  park(file: string, upstream: Upstream): void {
    const key = keyOf(file, upstream.position);
    if (upstream.position > upstream.end || this.#parked.has(key)) upstream.close();
    else this.#parked.set(key, upstream);
  }

  take(file: string, position: number): Upstream | undefined {
    const key = keyOf(file, position);
    const upstream = this.#parked.get(key);
    this.#parked.delete(key);
    return upstream;
  }

  /** Closes a request that was parked at a position and not taken. One that was taken may be parked elsewhere by now. */
  withdraw(file: string, upstream: Upstream, position: number): void {
    const key = keyOf(file, position);
    if (this.#parked.get(key) !== upstream) return;
    this.#parked.delete(key);
    upstream.close();
  }
}

function keyOf(file: string, position: number): string {
  return `${file} ${position}`;
}
