import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import { type Connection, connectionOfSocket, connectionOfStream } from "../../../calls/connection.ts";
import { discardBody } from "../../../calls/http.ts";
import { discardRest, handOverStream } from "./http2-stream.ts";
import type { LaneMethod } from "./lane.ts";
import type { UnaryRequest } from "./unary-call.ts";

/** The request and response of a unary call, over either HTTP version. */
export interface HttpExchange extends UnaryRequest {
  /** Calls back when the response is complete or the caller has gone away. */
  onClose(closed: () => void): void;
  /** Sends the whole response, unless the caller has gone away. Headers are alternating names and values. */
  respond(status: number, headers: readonly string[], body: Uint8Array): void;
  /** Passes the request to Connect's runtime. */
  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void;
  /** Resets the connection or stream, without a response. */
  cut(): void;
}

export class Http1Exchange implements HttpExchange {
  readonly body: IncomingMessage;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  readonly #response: ServerResponse;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.body = request;
    this.headers = request.headers;
    this.connection = connectionOfSocket(request.socket);
    this.#response = response;
  }

  onClose(closed: () => void): void {
    this.#response.on("close", closed);
  }

  respond(status: number, headers: readonly string[], body: Uint8Array): void {
    const response = this.#response;
    if (response.destroyed) return;
    response.writeHead(status, headers as string[]);
    response.end(body);
    discardBody(this.body);
  }

  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void {
    method.serveByRuntime(this.body, this.#response, body);
  }

  cut(): void {
    this.body.socket.destroy();
  }
}

export class Http2Exchange implements HttpExchange {
  readonly body: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  readonly #rawHeaders: readonly string[];

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]) {
    this.body = stream;
    this.connection = connectionOfStream(stream);
    this.headers = headers;
    this.#rawHeaders = rawHeaders;
    // `close` follows every error.
    stream.on("error", () => {});
  }

  onClose(closed: () => void): void {
    this.body.on("close", closed);
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

  cut(): void {
    this.body.close(constants.NGHTTP2_CANCEL);
  }
}
