import { constants } from "node:http2";
import type { Socket } from "node:net";
import type { CutReason } from "../calls/download-record.ts";
import type { HttpResponse } from "../calls/http.ts";
import { limitsOwnAnswer } from "../calls/open-stream.ts";
import {
  type ByteRange,
  ContentChangedError,
  type ContentFile,
  type ContentReader,
} from "../domain/content-source.ts";
import type { BandwidthTurns } from "./bandwidth.ts";
import type { Buffers } from "./buffers.ts";
import type { ActiveDownload } from "./session-downloads.ts";

/** Progress is measured in pieces: a client that accepts less than one within the stall limit is cut. */
const pieceBytes = 2 ** 18;

/** How sending ended. */
export interface SendResult {
  readonly outcome: "complete" | "client_gone" | CutReason;
  /** Whether the answer has begun; if not, another one can still be sent. */
  readonly hasBegun: boolean;
  /** The error, if there was one. */
  readonly cause?: unknown;
}

export interface SendOptions {
  readonly response: HttpResponse;
  readonly download: ActiveDownload;
  readonly buffers: Buffers;
  readonly bandwidth: BandwidthTurns;
  /** Writes the headers; called when the first bytes have been read. */
  begin(): void;
  /** Called with the number of bytes that the connection has accepted. */
  onSent(bytes: number): void;
}

/**
 * Sends a range of a file, not empty, as the body of a response whose headers declare its length; closes the file. Uses
 * one buffer, which is filled again when the connection has accepted its bytes. They are then still on their way out of
 * the kernel's own buffer, so reading ahead gains nothing.
 *
 * When sending can't go on, the connection is cut, even in place of the last byte, so that no client takes what it has
 * for the whole. If no byte has been sent yet, the answer is left to the caller.
 */
export function send(file: ContentFile, range: ByteRange, options: SendOptions): Promise<SendResult> {
  return new FileSender(options).send(file, range);
}

/** Why sending has to stop in the middle. */
class Interruption extends Error {
  readonly outcome: CutReason | "client_gone";

  constructor(outcome: CutReason | "client_gone", cause?: unknown) {
    super(outcome, { cause });
    this.outcome = outcome;
  }
}

class FileSender {
  readonly #options: SendOptions;
  /** Rejects the current wait. */
  #rejectWait: ((reason: Interruption) => void) | undefined;
  #interruption: Interruption | undefined;
  #hasBegun = false;
  #isWriting = false;
  #isComplete = false;

  constructor(options: SendOptions) {
    this.#options = options;
    const { response, download } = options;
    limitsOwnAnswer(response);
    response.once("close", () => this.#interrupt("client_gone"));
    // Errors of the connection are followed by `close`.
    response.on("error", () => {});
    download.onCut = (reason) => this.#interrupt(reason);
    if (download.cutReason !== undefined) this.#interrupt(download.cutReason);
    // A client that has gone before emits no more `close`.
    if (isGone(response)) this.#interrupt("client_gone");
  }

  async send(file: ContentFile, range: ByteRange): Promise<SendResult> {
    const { buffers, response, download } = this.#options;
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
      if (this.#hasBegun) cutConnection(response);
      return { outcome, hasBegun: this.#hasBegun, cause };
    } finally {
      download.onCut = undefined;
      // Also ends a read that is still running.
      await file.close().catch(() => {});
      // A write ends with its connection; frames of HTTP/2 and TLS may outlive theirs.
      const isWriting = socket !== undefined && this.#isWriting;
      if (isFree || (isWriting && socket.closed)) buffers.giveBack(buffer);
      else if (isWriting) socket.once("close", () => buffers.giveBack(buffer));
      else buffers.abandon();
    }
  }

  /** Reads once and writes those bytes, piece by piece; resolves with their number. */
  async #move(reader: ContentReader, buffer: Buffer, left: number): Promise<number> {
    const { download, bandwidth, onSent } = this.#options;
    const bytes = await this.#waitFor(reader.read(buffer), "read_failed");
    download.progressedAt = performance.now();
    if (bytes === 0 || bytes > left) throw new Interruption("content_changed");
    this.#begin();
    this.#isWriting = true;
    for (let at = 0; at < bytes; ) {
      const turn = bandwidth.take(Math.min(pieceBytes, bytes - at));
      const piece = buffer.subarray(
        at,
        at + (typeof turn === "number" ? turn : await this.#waitForTurn(turn)),
      );
      await this.#write(piece);
      at += piece.byteLength;
      download.addSent(piece.byteLength);
      onSent(piece.byteLength);
    }
    this.#isWriting = false;
    return bytes;
  }

  /** A download that waits for its turn does not stall. */
  async #waitForTurn(turn: Promise<number>): Promise<number> {
    const { download } = this.#options;
    download.isWaitingForTurn = true;
    try {
      return await this.#waitFor(turn);
    } finally {
      download.isWaitingForTurn = false;
      download.progressedAt = performance.now();
    }
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
      this.#rejectWait = reject;
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
        // `close` comes before the code that awaits the promise runs.
        this.#isComplete = true;
        resolve();
      });
    });
  }

  #interrupt(outcome: CutReason | "client_gone"): void {
    if (this.#isComplete) return;
    this.#interruption ??= new Interruption(outcome);
    this.#rejectWait?.(this.#interruption);
  }
}

function asInterruption(reason: unknown): Interruption {
  return reason instanceof Interruption ? reason : new Interruption("read_failed", reason);
}

/** The socket of an HTTP/1 response without TLS. */
function plainSocketOf(response: HttpResponse): Socket | undefined {
  if ("stream" in response || response.socket === null) return undefined;
  return "encrypted" in response.socket ? undefined : response.socket;
}

function isGone(response: HttpResponse): boolean {
  if (!("stream" in response)) return response.socket === null || response.socket.destroyed;
  return response.stream === undefined || response.stream.destroyed || response.stream.closed;
}

/**
 * Ends a response so that the client sees that it has failed. In HTTP/1 only a reset of the connection says so, which
 * also drops bytes that are still on their way. TLS has no reset, but an end without its closing alert counts as an
 * attack.
 */
function cutConnection(response: HttpResponse): void {
  if ("stream" in response) {
    response.stream?.close(constants.NGHTTP2_INTERNAL_ERROR);
    return;
  }
  const { socket } = response;
  if (socket === null || socket.destroyed) return;
  if ("encrypted" in socket) socket.destroy();
  else socket.resetAndDestroy();
}
