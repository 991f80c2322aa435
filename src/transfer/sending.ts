import { constants } from "node:http2";
import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
} from "../domain/content-source.ts";
import type { HttpResponse } from "../operations/http.ts";
import type { CutReason } from "../operations/transfer-record.ts";
import type { Buffers } from "./buffers.ts";
import type { Transfer } from "./session-transfers.ts";

/** How sending ended. */
export interface Sent {
  readonly outcome: "complete" | "client_gone" | CutReason;
  /** Whether the answer has begun; another one can still be given when it has not. */
  readonly hasBegun: boolean;
  /** The error, if there was one. */
  readonly cause?: unknown;
}

export interface SendingOptions {
  readonly response: HttpResponse;
  readonly transfer: Transfer;
  readonly buffers: Buffers;
  /** Sets the headers; called when the first bytes are there. */
  begin(): void;
  /** Is told of bytes that the connection has taken. */
  moved(bytes: number): void;
}

/** Why sending has to stop in the middle. */
class Interruption extends Error {
  readonly outcome: CutReason | "client_gone";

  constructor(outcome: CutReason | "client_gone", cause?: unknown) {
    super(outcome, { cause });
    this.outcome = outcome;
  }
}

/**
 * Sends bytes of a file as the body of a response whose headers say how many there are. While one buffer is written the
 * next one is read; no more is read than the connection has taken, less those two.
 *
 * When it can't go on, for whatever reason, the connection is broken off in a way that no client takes for an end: also
 * in place of the last byte. Only when there has been no first byte yet, the answer is left to others.
 */
export class Sending {
  readonly #options: SendingOptions;
  /** Rejects what is being waited for. */
  #interrupt: ((reason: Interruption) => void) | undefined;
  #interruption: Interruption | undefined;
  #hasBegun = false;
  #isComplete = false;

  constructor(options: SendingOptions) {
    this.#options = options;
    const { response, transfer } = options;
    response.once("close", () => this.#stop("client_gone"));
    // What is wrong with the connection ends with `close` as well.
    response.on("error", () => {});
    transfer.onCut = (reason) => this.#stop(reason);
    if (transfer.cutWith !== undefined) this.#stop(transfer.cutWith);
    // Who has gone before tells of it no more.
    if (isGone(response)) this.#stop("client_gone");
  }

  /** Sends a range that is not empty, and closes the file. */
  async send(file: ContentFile, range: ByteRange): Promise<Sent> {
    const buffers: Buffer[] = [];
    try {
      await this.#pump(file.reader(range), range.end - range.start + 1, buffers);
      // Only now it is certain that nobody reads or writes them any more.
      for (const buffer of buffers) this.#options.buffers.giveBack(buffer);
      await this.#waitFor(this.#end());
      return { outcome: "complete", hasBegun: true };
    } catch (reason) {
      const { outcome, cause } = asInterruption(reason);
      if (this.#hasBegun) breakOff(this.#options.response);
      return { outcome, hasBegun: this.#hasBegun, cause };
    } finally {
      this.#options.transfer.onCut = undefined;
      // Also ends a read that is still under way.
      await file.close().catch(() => {});
    }
  }

  /** @param buffers is told the buffers that are used */
  async #pump(reader: ContentReader, length: number, buffers: Buffer[]): Promise<void> {
    const { transfer, moved } = this.#options;
    let left = length;
    let turn = 0;
    let buffer = this.#bufferOf(buffers, turn);
    let reading = reader.read(buffer);
    while (left > 0) {
      const bytes = await this.#waitFor(reading, "read_failed");
      transfer.movedAt = performance.now();
      if (bytes === 0 || bytes > left) throw new Interruption("content_changed");
      this.#begin();
      left -= bytes;
      const full = buffer;
      if (left > 0) {
        turn = 1 - turn;
        buffer = this.#bufferOf(buffers, turn);
        reading = reader.read(buffer);
        // It is waited for only when the write is done.
        reading.catch(() => {});
      }
      await this.#write(bytes === full.byteLength ? full : full.subarray(0, bytes));
      transfer.sent(bytes);
      moved(bytes);
    }
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#options.begin();
  }

  #bufferOf(buffers: Buffer[], turn: number): Buffer {
    buffers[turn] ??= this.#options.buffers.take();
    return buffers[turn];
  }

  #write(bytes: Buffer): Promise<void> {
    return this.#waitFor(
      new Promise<void>((resolve, reject) => {
        this.#options.response.write(bytes, (error) =>
          error ? reject(new Interruption("client_gone")) : resolve(),
        );
      }),
    );
  }

  /** A promise of its own for each wait: with `Promise.race` all of them would hang on one that lives long. */
  #waitFor<T>(work: Promise<T>, failure: CutReason | "client_gone" = "client_gone"): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject;
      if (this.#interruption !== undefined) reject(this.#interruption);
      work.then(resolve, (reason) => {
        if (reason instanceof Interruption) reject(reason);
        else if (reason instanceof ContentChangedError) reject(new Interruption("content_changed"));
        else reject(new Interruption(failure, reason));
      });
    });
  }

  #end(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.response.end(() => {
        // `close` comes before whoever waits for the promise.
        this.#isComplete = true;
        resolve();
      });
    });
  }

  #stop(outcome: CutReason | "client_gone"): void {
    if (this.#isComplete) return;
    this.#interruption ??= new Interruption(outcome);
    this.#interrupt?.(this.#interruption);
  }
}

function asInterruption(reason: unknown): Interruption {
  return reason instanceof Interruption ? reason : new Interruption("read_failed", reason);
}

function isGone(response: HttpResponse): boolean {
  if (!("stream" in response)) return response.socket === null || response.socket.destroyed;
  return response.stream === undefined || response.stream.destroyed || response.stream.closed;
}

/**
 * Ends a response so that it is seen to have failed. HTTP/1 has nothing for that but a reset of the connection, which
 * also takes back what is still on its way; TLS has nothing for a reset, and without its closing alert the end counts as
 * an attack.
 */
export function breakOff(response: HttpResponse): void {
  if ("stream" in response) {
    response.stream?.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const { socket } = response;
  if (socket === null || socket.destroyed) return;
  if ("encrypted" in socket) socket.destroy();
  else socket.resetAndDestroy();
}
