import type { ServerHttp2Stream } from "node:http2";
import type { HttpResponse } from "./http.ts";
import type { Slotted } from "./slots.ts";

/** An HTTP/2 stream, from its headers until it is closed: what the server's limits of time and memory apply to. */
export interface OpenStream extends Slotted {
  /** Undefined for a call over HTTP/1, which is limited with its connection. */
  readonly stream: ServerHttp2Stream | undefined;
  /** When its headers came, in milliseconds as of `performance.now()`. */
  readonly startedAt: number;
}

const ownRequestLimit = Symbol("own limit for the request");
const ownAnswerLimit = Symbol("own limit for the answer");
const takenAt = Symbol("when a part of the answer was taken");

/** A stream of HTTP/2 or a response of HTTP/1; the marks are set on few, and read once in a while. */
type Carrier = object & { [ownRequestLimit]?: true; [ownAnswerLimit]?: true; [takenAt]?: number };

/** Lets the request of a stream take any time: its handler limits it, for example a stream of requests. */
export function limitsOwnRequest(stream: ServerHttp2Stream): void {
  (stream as Carrier)[ownRequestLimit] = true;
}

/** Lets an answer take any time: its handler limits it, and holds little of it in memory. */
export function limitsOwnAnswer(response: HttpResponse): void {
  const carrier = carrierOf(response);
  if (carrier !== undefined) carrier[ownAnswerLimit] = true;
}

/** Records that the client has taken a part of an answer that goes on: its time to take the rest begins again. */
export function partTaken(response: HttpResponse | ServerHttp2Stream): void {
  const carrier = carrierOf(response);
  if (carrier !== undefined) carrier[takenAt] = performance.now();
}

/** Undefined for a response whose stream is closed. */
function carrierOf(response: HttpResponse | ServerHttp2Stream): Carrier | undefined {
  return "stream" in response ? (response.stream as object | undefined) : response;
}

export function hasOwnRequestLimit(stream: object): boolean {
  return (stream as Carrier)[ownRequestLimit] === true;
}

/** @param carrier the stream of an answer over HTTP/2, the response over HTTP/1 */
export function hasOwnAnswerLimit(carrier: object): boolean {
  return (carrier as Carrier)[ownAnswerLimit] === true;
}

/** When a part of the answer was taken for the last time, by `performance.now()`; 0 if that is not known. */
export function takenLast(carrier: object): number {
  return (carrier as Carrier)[takenAt] ?? 0;
}
