import { type CallObserver, type Protocol, requestIdFrom } from "../calls/call.ts";
import { connectionOf, discardBody, type HttpRequest, type HttpResponse } from "../calls/http.ts";
import type { HostCheck } from "../calls/known-hosts.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import { grpcCodeOf } from "../calls/status.ts";
import { vapiErrorBody } from "../calls/vapi-error.ts";
import { errorKinds, ServiceError } from "../domain/errors.ts";

export interface HostOptions {
  /** Undefined: every host is. */
  readonly isKnownHost: HostCheck | undefined;
  /** Names and values in turn; see `pageHeaders`. */
  readonly pageHeaders: readonly string[];
  /** Called for every refused request. */
  readonly observe?: CallObserver | undefined;
}

/** Keeps requests for unknown hosts from the protocols: they get 421 (RFC 9110, section 15.5.20). */
export function withKnownHosts(
  { isKnownHost, pageHeaders, observe }: HostOptions,
  protocols: readonly ProtocolHandler[],
): readonly ProtocolHandler[] {
  if (isKnownHost === undefined) return protocols;
  const refusing: ProtocolHandler = {
    name: "known hosts",
    headers: { request: [], response: [] },
    takes: ({ headers }) => !isKnownHost(headers),
    serve(request, response) {
      const error = new ServiceError("downlease.request.host");
      const protocol = protocolOf(request);
      discardBody(request);
      refuse(error, protocol, response, pageHeaders);
      const { headers } = request;
      const requestId = requestIdFrom(headers["x-request-id"]);
      const call = { protocol, requestId, headers, connection: connectionOf(request) };
      observe?.({ call, operation: "unknown", outcome: error.kind, durationMs: 0, error });
    },
  };
  // A stream that is not taken becomes a request, which is refused above.
  const guarded = protocols.map(({ takeStream, ...protocol }): ProtocolHandler => {
    if (takeStream === undefined) return protocol;
    return {
      ...protocol,
      takeStream: (stream, headers, rawHeaders) =>
        isKnownHost(headers) && takeStream(stream, headers, rawHeaders),
    };
  });
  return [refusing, ...guarded];
}

/** In a form that clients of every protocol find the message in. */
function refuse(
  error: ServiceError,
  protocol: Protocol,
  response: HttpResponse,
  pageHeaders: readonly string[],
): void {
  const { http } = errorKinds[error.kind];
  // Clients of gRPC read these even when the HTTP status is not 200.
  const status = {
    "grpc-status": String(grpcCodeOf(error)),
    "grpc-message": encodeURIComponent(error.message),
  };
  if (protocol === "grpc") {
    // Not with writeHead: only as a single frame do they count as trailers.
    response.statusCode = http;
    const headers = { "content-type": "application/grpc", ...status };
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.end();
    return;
  }
  // Connect's clients read `code` and `message`, those of vAPI the rest.
  const code = errorKinds[error.kind].grpc.toLowerCase();
  const body = JSON.stringify({ code, message: error.message, ...vapiErrorBody(error) });
  const headers = ["content-type", "application/json", "content-length", String(Buffer.byteLength(body))];
  if (protocol === "grpc_web") headers.push(...Object.entries(status).flat());
  response.writeHead(http, [...headers, "cache-control", "no-store", ...pageHeaders]);
  response.end(body);
}

function protocolOf({ headers }: HttpRequest): Protocol {
  const [, name] = /^application\/(grpc-web|grpc)/i.exec(headers["content-type"] ?? "") ?? [];
  if (name === undefined) return "rest";
  return name.toLowerCase() === "grpc" ? "grpc" : "grpc_web";
}
