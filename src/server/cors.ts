import cors from "cors";
import { discardBody } from "../calls/http.ts";
import { firstOf, type HeaderNames, type ProtocolHandler } from "../calls/protocol-handler.ts";

/** How long a browser may remember a preflight, in seconds; Chromium accepts no more. */
const maxAgeSeconds = 7200;

/**
 * Allows pages of the given origins to call the protocols, and answers their browsers' preflights. Requests of other
 * origins are served as if there were no CORS: their browsers keep the responses from them. Cookies are never allowed,
 * so a page has to send credentials of its own.
 *
 * @param origins as browsers spell them; without any, the protocols stay as they are
 */
export function withCors(
  origins: readonly string[],
  protocols: readonly ProtocolHandler[],
): readonly ProtocolHandler[] {
  if (origins.length === 0) return protocols;
  const { handler: serve, takeStream, takenStreams } = firstOf(protocols);
  const allowed = new Set(origins);
  const headers = headersOf(protocols);
  const apply = cors({
    origin: [...origins],
    methods: ["GET", "POST", "PUT", "PATCH", "DELETE"],
    allowedHeaders: [...headers.request],
    exposedHeaders: [...headers.response],
    maxAge: maxAgeSeconds,
  });
  return [
    {
      name: "cors",
      headers,
      takes: () => true,
      serve(request, response) {
        const { origin } = request.headers;
        if (origin === undefined || !allowed.has(origin)) return serve(request, response);
        // The body of a preflight has no meaning.
        if (request.method === "OPTIONS") discardBody(request);
        apply(request, response, () => serve(request, response));
      },
      // A protocol that takes a stream writes its headers without us.
      takeStream: (stream, streamHeaders, rawHeaders) =>
        streamHeaders.origin === undefined && takeStream(stream, streamHeaders, rawHeaders),
      takenStreams,
    },
  ];
}

/** The headers of all protocols, each once. */
function headersOf(protocols: readonly ProtocolHandler[]): HeaderNames {
  return {
    request: [...new Set(protocols.flatMap(({ headers }) => headers.request))],
    response: [...new Set(protocols.flatMap(({ headers }) => headers.response))],
  };
}
