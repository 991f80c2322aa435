import { type Connection, type Receiver, reset } from "./connection.ts";
import { readWatch, silentTicks, type WaitingRead } from "./read-watch.ts";

/** Finds the bytes and the end of a body that has no declared length. */
export interface Decoder {
  /** Takes bytes of the connection, and calls `Body.place` and `Body.complete`. @throws Error when they are nonsense */
  decode(bytes: Buffer): void;
  /** @throws Error when the body may not end here */
  end(): void;
}

export interface BodyOptions {
  readonly connection: Connection;
  /** Bytes that will come; undefined when the decoder says where it ends. */
  readonly length: number | undefined;
  readonly decoder: Decoder;
  /** Called when the last byte has come and the connection can be used again. */
  onComplete(): void;
}

/**
 * The body of an answer. Its bytes stay in the system until they are read; a declared length lets the system write them
 * into the memory of the reader. At most two pieces of 16 KiB are held here: what came with the headers, or with the
 * last record of TLS.
 */
export class Body implements Receiver, WaitingRead {
  readonly #options: BodyOptions;
  /** Bytes that have not come yet. */
  #left: number;
  #held: Buffer | undefined;
  #into: Uint8Array | undefined;
  #filled = 0;
  #read: PromiseWithResolvers<number> | undefined;
  #isLate = false;
  #filledBefore = 0;
  #silentTicks = 0;
  #failure: Error | undefined;

  constructor(options: BodyOptions) {
    this.#options = options;
    this.#left = options.length ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Fills the memory with the next bytes, or the part of it for which bytes come within a tenth of a second. Resolves
   * with their number, 0 at the end of the body. One call at a time. Rejects when the connection breaks, or no byte
   * comes for five seconds.
   */
  read(into: Uint8Array): Promise<number> {
    this.#read = Promise.withResolvers();
    const { promise } = this.#read;
    this.#into = into;
    this.#filled = 0;
    this.#filledBefore = 0;
    this.#silentTicks = 0;
    this.#isLate = false;
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#hold(held);
    if (this.#isOver || this.#failure !== undefined) this.#settle();
    else {
      readWatch.add(this);
      this.#options.connection.resume();
    }
    return promise;
  }

  /** Ends the connection when bytes of the body may still come. */
  destroy(reason?: Error): void {
    this.#held = undefined;
    if (this.#left === 0 || this.#failure !== undefined) return;
    this.#options.connection.destroy(reason);
    this.#fail(reason ?? reset("the body was not read to its end"));
  }

  /** Whether the last byte has come; it may not have been read. */
  get isComplete(): boolean {
    return this.#left === 0;
  }

  /** For the decoder: the next bytes of the body, which are copied. */
  place(bytes: Buffer): void {
    this.#left -= bytes.byteLength;
    this.#hold(bytes);
  }

  /** For the decoder: the last byte has come. */
  complete(): void {
    this.#left = 0;
    this.#options.onComplete();
  }

  memory(): Uint8Array | undefined {
    if (this.#into === undefined || this.#options.length === undefined) return undefined;
    return this.#into.subarray(this.#filled, this.#filled + this.#left);
  }

  filled(length: number): boolean {
    this.#filled += length;
    this.#left -= length;
    if (this.#left === 0) this.complete();
    return this.#progress();
  }

  received(bytes: Buffer): boolean {
    try {
      this.#take(bytes);
    } catch (error) {
      this.destroy(error as Error);
      return false;
    }
    return this.#progress();
  }

  ended(): void {
    if (this.#options.length !== undefined) return;
    try {
      this.#options.decoder.end();
      if (this.#left === 0) this.#settle();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  closed(reason: Error): void {
    if (this.#left > 0) this.#fail(reason);
  }

  tick(): void {
    this.#isLate = this.#filled > 0;
    this.#silentTicks = this.#filled === this.#filledBefore ? this.#silentTicks + 1 : 0;
    this.#filledBefore = this.#filled;
    if (this.#silentTicks >= silentTicks) this.destroy(new Error("the storage sent nothing for a while"));
  }

  get #isOver(): boolean {
    return this.#left === 0 || this.#filled === this.#into?.byteLength;
  }

  #take(bytes: Buffer): void {
    const { length, decoder } = this.#options;
    if (length === undefined) {
      decoder.decode(bytes);
      return;
    }
    // More than the body is no answer to any request.
    if (bytes.byteLength > this.#left) throw new Error("the storage sent more than it declared");
    this.place(bytes);
    if (this.#left === 0) this.complete();
  }

  /** Gives bytes to the read that waits, and keeps what it has no room for. */
  #hold(bytes: Buffer): void {
    const into = this.#into;
    const taken = into === undefined ? 0 : Math.min(bytes.byteLength, into.byteLength - this.#filled);
    if (taken > 0) into!.set(taken === bytes.byteLength ? bytes : bytes.subarray(0, taken), this.#filled);
    this.#filled += taken;
    if (taken === bytes.byteLength) return;
    const rest = bytes.subarray(taken);
    this.#held = Buffer.concat(this.#held === undefined ? [rest] : [this.#held, rest]);
  }

  /** Whether to go on reading: for the next bytes, or, after the last one, for what may happen to the connection. */
  #progress(): boolean {
    if (this.#into !== undefined && (this.#isOver || this.#isLate)) this.#settle();
    return this.#into !== undefined || this.#left === 0;
  }

  #settle(): void {
    this.#into = undefined;
    readWatch.delete(this);
    const read = this.#read;
    this.#read = undefined;
    // Bytes that came before a failure are good.
    if (this.#filled === 0 && this.#failure !== undefined) read?.reject(this.#failure);
    else read?.resolve(this.#filled);
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    this.#settle();
  }
}
