import {
  type Http2StreamHandler,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  pathOf,
} from "./http.ts";
import type { OpenStream } from "./open-stream.ts";

/** Names of HTTP headers. */
export interface HeaderNames {
  readonly request: readonly string[];
  readonly response: readonly string[];
}

/** How one protocol is served: a row in a list; the first row that takes a request serves it. */
export interface ProtocolHandler {
  readonly name: string;
  /** The headers that its clients send and read. CORS allows them to pages of other origins. */
  readonly headers: HeaderNames;
  /** Whether this handler answers the request. @param path of its URL, undecoded */
  takes(request: HttpRequest, path: string): boolean;
  /** Answers a request that it takes. Never throws. @param path of its URL, undecoded */
  serve(request: HttpRequest, response: HttpResponse, path: string): void;
  /** Serves HTTP/2 streams directly; a stream that it leaves becomes a request. */
  readonly takeStream?: Http2StreamHandler | undefined;
  /** The open streams that it has taken, for the limits of the server. */
  readonly takenStreams?: Iterable<OpenStream> | undefined;
}

/** The headers of every protocol that serves calls: credentials, the request id, what a client does about a refusal. */
export const callHeaders: HeaderNames = {
  request: [
    "Authorization",
    "Content-Type",
    "Vmware-Api-Session-Id",
    "Vmware-Use-Header-Authn",
    "X-Request-ID",
    // What tracing in a browser adds to every request; without a name here it would lose the call.
    "baggage",
    "traceparent",
    "tracestate",
  ],
  response: ["Retry-After", "WWW-Authenticate", "X-Request-ID"],
};

/** The handlers that a server calls. */
export interface ServerHandlers {
  readonly handler: HttpHandler;
  readonly takeStream: Http2StreamHandler;
  /** The open streams that `takeStream` has taken. */
  readonly takenStreams: Iterable<OpenStream>;
}

/**
 * Gives each request to the first protocol that takes it.
 *
 * @param protocols the last one takes every request
 */
export function firstOf(protocols: readonly ProtocolHandler[]): ServerHandlers {
  const takers = protocols.flatMap(({ takeStream }) => takeStream ?? []);
  const [onlyTaker] = takers;
  return {
    handler(request, response) {
      // One text for all look-ups, because each text is hashed once.
      const path = pathOf(request);
      for (const protocol of protocols) {
        if (protocol.takes(request, path)) return protocol.serve(request, response, path);
      }
    },
    // A single taker is called without a loop, because keep-alives pass here.
    takeStream:
      takers.length === 1 && onlyTaker !== undefined
        ? onlyTaker
        : (stream, headers, rawHeaders) => takers.some((take) => take(stream, headers, rawHeaders)),
    takenStreams: {
      *[Symbol.iterator]() {
        for (const { takenStreams = [] } of protocols) yield* takenStreams;
      },
    },
  };
}
