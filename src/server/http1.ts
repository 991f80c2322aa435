import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { HttpHandler } from "../calls/http.ts";
import type { Limits } from "./limits.ts";
import { lingerThenDestroy } from "./linger.ts";

/** Statuses of unreadable requests, by the code of Node's error; 400 for all others. */
const statusOf: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** The connections that speak HTTP/1. */
export class Http1Connections {
  readonly #server;
  readonly #handler: HttpHandler;
  readonly #lingerMs: number;
  /** Open connections with the response to their latest request. */
  readonly #latest = new Map<Duplex, ServerResponse | undefined>();
  #draining = false;

  constructor(handler: HttpHandler, limits: Limits) {
    this.#handler = handler;
    this.#lingerMs = limits.lingerMs;
    this.#server = createServer(
      {
        headersTimeout: limits.headersMs,
        requestTimeout: limits.requestMs,
        connectionsCheckingInterval: limits.checkMs,
        keepAliveTimeout: limits.keepAliveMs,
        maxHeaderSize: limits.maxHeaderBytes,
      },
      (request, response) => this.#serve(request, response),
    );
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => this.#refuse(error, socket));
    // It never listens, but its checks for slow clients start with this event.
    this.#server.emit("listening");
  }

  accept(socket: Socket): void {
    this.#latest.set(socket, undefined);
    socket.once("close", () => this.#latest.delete(socket));
    this.#server.emit("connection", socket);
  }

  /** Makes every further answer the last one on its connection. */
  drain(): void {
    this.#draining = true;
    for (const response of this.#latest.values()) {
      if (response?.headersSent === false) response.shouldKeepAlive = false;
    }
  }

  /** Closes connections that are between two requests. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  /** Ends the checks for slow clients. */
  close(): void {
    this.#server.close();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.#latest.set(request.socket, response);
    if (this.#draining) response.shouldKeepAlive = false;
    this.#handler(request, response);
  }

  /** Called again for every chunk that comes after the first bad one. */
  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (socket.writableEnded) return;
    const response = this.#latest.get(socket);
    const isAnswering = response?.headersSent === true && !response.writableFinished;
    if (isAnswering || !socket.writable) {
      socket.destroy();
      return;
    }
    const status = statusOf[error.code ?? ""] ?? 400;
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    );
    lingerThenDestroy(socket, this.#lingerMs);
  }
}
