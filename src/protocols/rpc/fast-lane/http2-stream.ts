import {
  constants,
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { LaneMethod } from "./lane.ts";

/** How long a caller that has its answer may go on sending. */
const lingerMs = 1000;

/**
 * Reads and drops the rest of a request that is already answered. Resetting the stream at once would say the same,
 * but the reset would overtake the answer.
 */
export function discardRest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.closed) return;
  stream.resume();
  const end = () => stream.close(constants.NGHTTP2_NO_ERROR);
  // While the answer is not taken, the reset would be held back, and a later one for that reason has no effect.
  const timer = setTimeout(
    () => (stream.writableFinished ? end() : stream.once("finish", end)),
    lingerMs,
  ).unref();
  stream.once("close", () => clearTimeout(timer));
}

/** Passes a stream to Connect's runtime. @param body replaces the stream's own, part of which has been read */
export function handOverStream(
  { serveByRuntime }: Pick<LaneMethod, "serveByRuntime">,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  body?: AsyncIterable<Uint8Array>,
): void {
  const request = new Http2ServerRequest(stream, headers, {}, rawHeaders);
  serveByRuntime(request, new Http2ServerResponse(stream), body);
}
