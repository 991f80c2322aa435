import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import { type Connection, connectionOfSocket, connectionOfStream } from "../../../calls/connection.ts";
import { discardBody } from "../../../calls/http.ts";
import { discardRest, handOverStream } from "./http2-stream.ts";
import type { LaneMethod } from "./lane.ts";
import type { UnaryRequest } from "./unary-call.ts";

/** The request and response of a unary call, over either HTTP version. */
export interface HttpExchange extends UnaryRequest {
  /** Undefined over HTTP/2. */
  readonly response: ServerResponse | undefined;
  /** Sends the whole response, unless the caller has gone away. Headers are alternating names and values. */
  respond(status: number, headers: readonly string[], body: Uint8Array): void;
  /** Passes the request to Connect's runtime. */
  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void;
}

export class Http1Exchange implements HttpExchange {
  readonly body: IncomingMessage;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  readonly stream = undefined;
  readonly response: ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.body = request;
    this.headers = request.headers;
    this.connection = connectionOfSocket(request.socket);
    this.response = response;
  }

  respond(status: number, headers: readonly string[], body: Uint8Array): void {
    const { response } = this;
    if (response.destroyed) return;
    response.writeHead(status, headers as string[]);
    response.end(body);
    discardBody(this.body);
  }

  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void {
    method.serveByRuntime(this.body, this.response, body);
  }
}

export class Http2Exchange implements HttpExchange {
  readonly body: ServerHttp2Stream;
  readonly stream: ServerHttp2Stream;
  readonly response = undefined;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  readonly #rawHeaders: readonly string[];

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]) {
    this.body = stream;
    this.stream = stream;
    this.connection = connectionOfStream(stream);
    this.headers = headers;
    this.#rawHeaders = rawHeaders;
  }

  respond(status: number, headers: readonly string[], body: Uint8Array): void {
    const stream = this.body;
    if (stream.closed) return;
    stream.respond([":status", String(status), ...headers]);
    stream.end(body);
    discardRest(stream);
  }

  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void {
    handOverStream(method, this.body, this.headers, this.#rawHeaders, body);
  }
}
