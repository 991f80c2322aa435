/**
 * Everything that depends on how `node:http2` works inside, not only on its documentation. A test fails when a release of
 * Node.js has changed that; then everything still works, but dearer.
 */
import type { Http2Session } from "node:http2";

/**
 * Replaces the map in which Node.js keeps the open streams of a session by a `StreamTable`.
 *
 * @param session without any stream yet
 */
export function keepStreamsInTable(session: Http2Session): void {
  stateKey ??= Object.getOwnPropertySymbols(session).find(({ description }) => description === "state");
  if (stateKey === undefined) return;
  const { [stateKey]: state } = session as unknown as Record<
    symbol,
    { streams?: Map<number, object> } | undefined
  >;
  if (state?.streams?.size === 0) state.streams = new StreamTable();
}

let stateKey: symbol | undefined;

const firstLength = 32;
const maxLength = 1024;

/**
 * A map from the ids of streams that takes no new memory while streams come and go. V8 makes another table for a `Map`
 * every few of them, and a table that has reached the old heap refers to its successor: everything later then survives
 * until a full collection (docs/decisions/0014-v8-heap.md).
 */
export class StreamTable<Stream extends object> extends Map<number, Stream> {
  // A stream is at the place that the last digits of its id name. If an older stream has the place, it is in the map that
  // this class extends, as is everything that a later Node.js might do with other methods than those below.
  #ids = new Array<number>(firstLength).fill(noId);
  #streams = new Array<Stream | undefined>(firstLength).fill(undefined);
  #count = 0;

  override get size(): number {
    return this.#count + super.size;
  }

  override get(id: number): Stream | undefined {
    const place = this.#placeOf(id);
    if (this.#ids[place] === id) return this.#streams[place];
    return super.size === 0 ? undefined : super.get(id);
  }

  override has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  override set(id: number, stream: Stream): this {
    let place = this.#placeOf(id);
    if (this.#ids[place] !== noId && this.#count * 2 > this.#ids.length && this.#ids.length < maxLength) {
      this.#grow();
      place = this.#placeOf(id);
    }
    const holder = this.#ids[place];
    if (holder === id) this.#streams[place] = stream;
    else if (holder !== noId || super.has(id)) super.set(id, stream);
    else this.#put(place, id, stream);
    return this;
  }

  override delete(id: number): boolean {
    const place = this.#placeOf(id);
    if (this.#ids[place] !== id) return super.size > 0 && super.delete(id);
    this.#ids[place] = noId;
    this.#streams[place] = undefined;
    this.#count--;
    return true;
  }

  override clear(): void {
    super.clear();
    this.#ids.fill(noId);
    this.#streams.fill(undefined);
    this.#count = 0;
  }

  override *entries(): MapIterator<[number, Stream]> {
    for (const [place, id] of this.#ids.entries()) if (id !== noId) yield [id, this.#streams[place]!];
    yield* super.entries();
  }

  override *keys(): MapIterator<number> {
    for (const [id] of this.entries()) yield id;
  }

  override *values(): MapIterator<Stream> {
    for (const [, stream] of this.entries()) yield stream;
  }

  override [Symbol.iterator](): MapIterator<[number, Stream]> {
    return this.entries();
  }

  override forEach(callback: (stream: Stream, id: number, map: Map<number, Stream>) => void): void {
    for (const [id, stream] of [...this.entries()]) callback(stream, id, this);
  }

  #put(place: number, id: number, stream: Stream): void {
    this.#ids[place] = id;
    this.#streams[place] = stream;
    this.#count++;
  }

  #grow(): void {
    const [ids, streams] = [this.#ids, this.#streams];
    const length = ids.length * 2;
    this.#ids = new Array<number>(length).fill(noId);
    this.#streams = new Array<Stream | undefined>(length).fill(undefined);
    this.#count = 0;
    // Those that were at different places still are.
    for (const [place, id] of ids.entries()) {
      if (id !== noId) this.#put(this.#placeOf(id), id, streams[place]!);
    }
  }

  /** The ids of a client are odd. */
  #placeOf(id: number): number {
    return (id >> 1) & (this.#ids.length - 1);
  }
}

/** Stream 0 is the connection itself. */
const noId = 0;
