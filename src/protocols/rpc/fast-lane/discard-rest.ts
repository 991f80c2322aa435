import { constants, type ServerHttp2Stream } from "node:http2";

/** How long a caller who has its answer may go on sending. */
const lingerMs = 1000;

/**
 * Reads and drops what is left of a request that is answered. To reset the stream at once would say the same, but
 * overtake the answer.
 */
export function discardRest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.closed) return;
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), lingerMs).unref();
  stream.once("close", () => clearTimeout(timer));
}
