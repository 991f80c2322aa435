import { constants } from "node:http2";
import type { Socket } from "node:net";
import type { CutReason } from "../calls/download-record.ts";
import type { HttpResponse } from "../calls/http.ts";
import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
} from "../domain/content-source.ts";
import type { Buffers } from "./buffers.ts";
import type { ActiveDownload } from "./session-downloads.ts";

/** Progress is seen piece by piece: whoever takes less than that in the time of a stall is cut. */
const pieceBytes = 2 ** 18;

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
  readonly transfer: ActiveDownload;
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
 * Sends bytes of a file as the body of a response whose headers say how many there are, one buffer after the other: it
 * is read when the connection has taken the one before. What has been taken is then still on its way out of the kernel's
 * own buffer, so that reading ahead gains nothing.
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
  #isWriting = false;
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
    const { buffers, response, transfer } = this.#options;
    const socket = plainSocketOf(response);
    const buffer = buffers.take();
    let isFree = false;
    try {
      const reader = file.reader(range);
      for (let left = range.end - range.start + 1; left > 0; ) left -= await this.#move(reader, buffer, left);
      isFree = true;
      await this.#waitFor(this.#end());
      return { outcome: "complete", hasBegun: true };
    } catch (reason) {
      const { outcome, cause } = asInterruption(reason);
      if (this.#hasBegun) breakOff(response);
      return { outcome, hasBegun: this.#hasBegun, cause };
    } finally {
      transfer.onCut = undefined;
      // Also ends a read that is still under way.
      await file.close().catch(() => {});
      // A write is over when the connection is; frames of HTTP/2 and TLS may outlive what they are for.
      const isWriting = socket !== undefined && this.#isWriting;
      if (isFree || (isWriting && socket.closed)) buffers.giveBack(buffer);
      else if (isWriting) socket.once("close", () => buffers.giveBack(buffer));
      else buffers.abandon();
    }
  }

  /** Reads once and writes that, piece by piece; gives the number of bytes. */
  async #move(reader: ContentReader, buffer: Buffer, left: number): Promise<number> {
    const { transfer, moved } = this.#options;
    const bytes = await this.#waitFor(reader.read(buffer), "read_failed");
    transfer.movedAt = performance.now();
    if (bytes === 0 || bytes > left) throw new Interruption("content_changed");
    this.#begin();
    this.#isWriting = true;
    for (let at = 0; at < bytes; ) {
      const piece = buffer.subarray(at, Math.min(at + pieceBytes, bytes));
      await this.#write(piece);
      at += piece.byteLength;
      transfer.sent(piece.byteLength);
      moved(piece.byteLength);
    }
    this.#isWriting = false;
    return bytes;
  }

  #begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#options.begin();
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

/** Of HTTP/1 without TLS. */
function plainSocketOf(response: HttpResponse): Socket | undefined {
  if ("stream" in response || response.socket === null) return undefined;
  return "encrypted" in response.socket ? undefined : response.socket;
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
