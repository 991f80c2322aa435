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

/** What is known of an open connection. */
interface ConnectionState {
  /** The response to its latest request. */
  latest: ServerResponse | undefined;
  /** Requests that were received while the one before was not answered, and still wait behind it. */
  waiting: number;
  /** `full`: its last request has been received; `over`: and more after it, which are not served. */
  fill: "open" | "full" | "over";
}

/** The connections that speak HTTP/1. */
export class Http1Connections {
  readonly #server;
  readonly #handler: HttpHandler;
  readonly #limits: Limits;
  readonly #connections = new Map<Duplex, ConnectionState>();
  #draining = false;

  constructor(handler: HttpHandler, limits: Limits) {
    this.#handler = handler;
    this.#limits = limits;
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
    this.#connections.set(socket, { latest: undefined, waiting: 0, fill: "open" });
    socket.once("close", () => this.#connections.delete(socket));
    this.#server.emit("connection", socket);
  }

  /** Makes every further answer the last one on its connection. */
  drain(): void {
    this.#draining = true;
    for (const { latest } of this.#connections.values()) {
      if (latest?.headersSent === false) latest.shouldKeepAlive = false;
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
    const state = this.#connections.get(request.socket);
    // Node has read the request, but its connection is closed.
    if (state === undefined) return;
    if (state.fill !== "open") {
      this.#readNoMore(request.socket, state);
      return;
    }
    if (state.latest?.writableFinished === false) this.#countWaiting(state, state.latest, response);
    state.latest = response;
    if (this.#draining) response.shouldKeepAlive = false;
    this.#handler(request, response);
  }

  /** @param response to the request that waits for the answer to the one before */
  #countWaiting(state: ConnectionState, before: ServerResponse, response: ServerResponse): void {
    state.waiting++;
    before.once("close", () => state.waiting--);
    if (state.waiting + 1 < this.#limits.maxPipelined) return;
    state.fill = "full";
    response.shouldKeepAlive = false;
  }

  /**
   * For a client that sends more than the last request of its connection. Node has parsed all that it had read, and
   * keeps that for as long as the connection is open: so the answers have only a moment left.
   */
  #readNoMore(socket: Socket, state: ConnectionState): void {
    if (state.fill === "over") return;
    state.fill = "over";
    // Reading the body of an earlier request resumes the connection.
    socket.pause().on("resume", () => socket.pause());
    lingerThenDestroy(socket, this.#limits.lingerMs);
  }

  /** Called again for every chunk that comes after the first bad one. */
  #refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (socket.writableEnded) return;
    const response = this.#connections.get(socket)?.latest;
    const isAnswering = response?.headersSent === true && !response.writableFinished;
    if (isAnswering || !socket.writable) {
      socket.destroy();
      return;
    }
    const status = statusOf[error.code ?? ""] ?? 400;
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    );
    lingerThenDestroy(socket, this.#limits.lingerMs);
  }
}
