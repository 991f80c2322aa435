import {
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { LaneMethod } from "./lane.ts";

/** Gives a stream to Connect's runtime, with a body that takes the place of what has been read already. */
export function handOverStream(
  { serveStock }: Pick<LaneMethod, "serveStock">,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  body?: AsyncIterable<Uint8Array>,
): void {
  const request = new Http2ServerRequest(stream, headers, {}, rawHeaders);
  serveStock(request, new Http2ServerResponse(stream), body);
}
