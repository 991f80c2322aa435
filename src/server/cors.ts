import { cors as connectCors } from "@connectrpc/connect";
import cors from "cors";
import { discardBody, type Http2StreamHandler, type HttpHandler } from "../calls/http.ts";

export interface CorsOptions {
  /** Origins, as browsers spell them, whose pages may read answers. */
  readonly origins: readonly string[];
  /** Serve the requests. */
  readonly next: HttpHandler;
  readonly takeStream: Http2StreamHandler;
}

/** How long a browser may remember a preflight, in seconds; Chromium takes no more. */
const maxAgeSeconds = 7200;

/**
 * Lets pages of the given origins call every protocol, and answers their browsers' preflights. Requests of other origins
 * are served as if there were no CORS: their browsers keep the answers from them. Cookies are never allowed, so that
 * a page has to show a credential of its own. Without origins nothing is changed.
 */
export function withCors({ origins, next, takeStream }: CorsOptions): {
  readonly handler: HttpHandler;
  readonly takeStream: Http2StreamHandler;
} {
  if (origins.length === 0) return { handler: next, takeStream };
  const allowed = new Set(origins);
  const apply = cors({
    origin: [...origins],
    methods: ["GET", "POST", "PUT", "PATCH", "DELETE"],
    allowedHeaders: [...connectCors.allowedHeaders, ...requestHeaders],
    exposedHeaders: [...connectCors.exposedHeaders, ...responseHeaders],
    maxAge: maxAgeSeconds,
  });
  return {
    handler: (request, response) => {
      const { origin } = request.headers;
      if (origin === undefined || !allowed.has(origin)) {
        next(request, response);
        return;
      }
      // A preflight has no body that counts.
      if (request.method === "OPTIONS") discardBody(request);
      apply(request, response, () => next(request, response));
    },
    // Who takes a stream writes its headers without us.
    takeStream: (stream, headers, rawHeaders) =>
      headers.origin === undefined && takeStream(stream, headers, rawHeaders),
  };
}

const requestHeaders = [
  "Authorization",
  "Client-Token",
  "If-Match",
  "If-None-Match",
  "If-Range",
  "Range",
  "X-Request-ID",
  "Vapi-Service",
  "Vapi-Operation",
  "Vapi-Ctx-OpId",
  "Vmware-Api-Session-Id",
  "Vmware-Use-Header-Authn",
];

const responseHeaders = [
  "Accept-Ranges",
  "Content-Digest",
  "Content-Disposition",
  "Content-Range",
  "ETag",
  "Grpc-Retry-Pushback-Ms",
  "Repr-Digest",
  "Retry-After",
  "Vapi-Error",
  "WWW-Authenticate",
  "X-Request-ID",
];
