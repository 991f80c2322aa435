import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type {
  Http2ServerRequest,
  Http2ServerResponse,
  IncomingHttpHeaders,
  ServerHttp2Stream,
} from "node:http2";
import { type Connection, connectionOfSocket, connectionOfStream } from "./connection.ts";

/** The HTTP version of a connection. */
export type HttpVersion = "http1" | "h2";

/** A request of either HTTP version. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;

/** A response of either HTTP version; `write` and `writeHead` as both take them. */
export type HttpResponse = (Omit<ServerResponse, "write"> | Omit<Http2ServerResponse, "write">) & {
  write(chunk: string | Uint8Array, callback?: (error: Error | null | undefined) => void): boolean;
  write(
    chunk: string | Uint8Array,
    encoding: BufferEncoding,
    callback?: (error: Error | null | undefined) => void,
  ): boolean;
  writeHead(status: number, headers?: OutgoingHttpHeaders | string[]): unknown;
};

/** The connection of a request. */
export function connectionOf(request: HttpRequest): Connection {
  return "stream" in request ? connectionOfStream(request.stream) : connectionOfSocket(request.socket);
}

/** Whether the request was sent over TLS. */
export function isEncrypted(request: HttpRequest): boolean {
  const carrier = "stream" in request ? request.stream.session : request.socket;
  return carrier !== undefined && "encrypted" in carrier && carrier.encrypted === true;
}

/** The path of a request's URL, undecoded. */
export function pathOf({ url = "" }: HttpRequest): string {
  const mark = url.indexOf("?");
  return mark < 0 ? url : url.slice(0, mark);
}

/** Reads and drops what is left of a request's body: unread, it would block the connection. */
export function discardBody(request: HttpRequest): void {
  if (!request.readableEnded) request.resume();
}

/** Whether the request only reads. */
export function isRead({ method }: HttpRequest): boolean {
  return method === "GET" || method === "HEAD";
}

/**
 * Refuses a request for what can only be read.
 *
 * @param pageHeaders names and values in turn; see `pageHeaders`
 */
export function refuseMethod(response: HttpResponse, pageHeaders: readonly string[]): void {
  response.writeHead(405, ["allow", "GET, HEAD", "content-length", "0", ...pageHeaders]);
  response.end();
}

/** Responds to a request, or passes it to another handler. Never throws. */
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => void;

/**
 * Serves an HTTP/2 stream without request and response objects, which cost more than the work itself. Returns false and
 * leaves the stream untouched when it does not serve it. Never throws.
 */
export type Http2StreamHandler = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
) => boolean;
