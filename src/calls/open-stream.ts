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

/** A stream of HTTP/2 or a response of HTTP/1; the marks are set on few, and read once in a while. */
type Carrier = object & { [ownRequestLimit]?: true; [ownAnswerLimit]?: true };

/** Lets the request of a stream take any time: its handler limits it, for example a stream of requests. */
export function limitsOwnRequest(stream: ServerHttp2Stream): void {
  (stream as Carrier)[ownRequestLimit] = true;
}

/** Lets an answer take any time: its handler limits it, and holds little of it in memory. */
export function limitsOwnAnswer(response: HttpResponse): void {
  const carrier: Carrier | undefined = "stream" in response ? (response.stream as object) : response;
  if (carrier !== undefined) carrier[ownAnswerLimit] = true;
}

export function hasOwnRequestLimit(stream: object): boolean {
  return (stream as Carrier)[ownRequestLimit] === true;
}

/** @param carrier the stream of an answer over HTTP/2, the response over HTTP/1 */
export function hasOwnAnswerLimit(carrier: object): boolean {
  return (carrier as Carrier)[ownAnswerLimit] === true;
}
