import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { constants, type ServerHttp2Stream } from "node:http2";
import { type Connection, connectionOfSocket, connectionOfStream } from "../../../calls/connection.ts";
import { discardRest } from "./discard-rest.ts";
import type { LaneMethod } from "./lane.ts";
import { handOverStream } from "./stock.ts";
import type { Source } from "./unary-call.ts";

/** A request and its response, over either HTTP version. */
export interface Exchange extends Source {
  /** Calls back when the response is complete, or the caller gone before. */
  onClose(closed: () => void): void;
  /** Sends the whole response, unless the caller is gone. Headers are names and values in turn. */
  respond(status: number, headers: readonly string[], body: Uint8Array): void;
  /** Gives the request to Connect's runtime. */
  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void;
  /** Ends the exchange without a response. */
  cut(): void;
}

export class Http1Exchange implements Exchange {
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
    // What is left of a request that is answered early: unread, it would block the connection.
    if (!this.body.readableEnded) this.body.resume();
  }

  handOver(method: LaneMethod, body: AsyncIterable<Uint8Array>): void {
    method.serveStock(this.body, this.#response, body);
  }

  cut(): void {
    this.body.socket.destroy();
  }
}

export class Http2Exchange implements Exchange {
  readonly body: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  readonly #rawHeaders: readonly string[];

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, rawHeaders: readonly string[]) {
    this.body = stream;
    this.connection = connectionOfStream(stream);
    this.headers = headers;
    this.#rawHeaders = rawHeaders;
    // The end of the stream tells all that there is to know of an error.
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
