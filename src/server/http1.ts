import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { connectionOfSocket } from "../calls/connection.ts";
import type { HttpHandler } from "../calls/http.ts";
import { hasOwnAnswerLimit, takenLast } from "../calls/open-stream.ts";
import { toOriginForm } from "./absolute-form.ts";
import type { Limits } from "./limits.ts";
import { lingerThenDestroy } from "./linger.ts";
import type { Backlog } from "./slow-clients.ts";

/** Statuses of unreadable requests, by the code of Node's error; 400 for all others. */
const statusOf: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** What is known of an open connection. */
interface ConnectionState {
  /** Those that are not sent yet, in the order of their requests; the first may be sent. */
  readonly responses: ServerResponse[];
  /** `full`: its last request has been received; `over`: and more after it, which are not served. */
  fill: "open" | "full" | "over";
}

/** The connections that speak HTTP/1. */
export class Http1Connections {
  readonly #server;
  readonly #handler: HttpHandler;
  readonly #limits: Limits;
  readonly #connections = new Map<Socket, ConnectionState>();
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
    // A client that ends its side after its last request still waits for the answers (RFC 9112, section 9.6).
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) =>
      this.#refuse(error, socket as Socket),
    );
    // It never listens, but its checks for slow clients start with this event.
    this.#server.emit("listening");
  }

  /** @param onLargeAnswer called with the size of each large answer on the connection */
  accept(socket: Socket, onLargeAnswer: (bytes: number) => void): void {
    connectionOfSocket(socket).onLargeAnswer = onLargeAnswer;
    this.#connections.set(socket, { responses: [], fill: "open" });
    socket.once("close", () => this.#connections.delete(socket));
    this.#server.emit("connection", socket);
  }

  /** Makes every further answer the last one on its connection. */
  drain(): void {
    this.#draining = true;
    for (const { responses } of this.#connections.values()) {
      const latest = responses.at(-1);
      if (latest?.headersSent === false) latest.shouldKeepAlive = false;
    }
  }

  /** The answers that wait, but for those with a limit of their own and what is behind them. */
  *backlogs(): Generator<Backlog> {
    for (const [socket, { responses }] of this.#connections) {
      dropSent(responses);
      const [current] = responses;
      if (current === undefined || hasOwnAnswerLimit(current)) continue;
      const bytes = responses.reduce((sum, { writableLength }) => sum + writableLength, 0);
      if (bytes === 0) continue;
      yield { holder: socket, bytes, takenAt: takenLast(current), cut: () => void socket.destroy() };
    }
  }

  /** The connections whose answer limits itself. */
  *sending(): Generator<Socket> {
    for (const [socket, { responses }] of this.#connections) {
      dropSent(responses);
      if (responses[0] !== undefined && hasOwnAnswerLimit(responses[0])) yield socket;
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
    // Node has read the request, but its connection is closed or ended.
    if (state === undefined || request.socket.writableEnded) return;
    if (state.fill !== "open") {
      this.#readNoMore(request.socket, state);
      return;
    }
    if (isAmbiguous(request)) {
      this.#refuse(new Error("ambiguous request"), request.socket);
      return;
    }
    toOriginForm(request);
    const { responses } = state;
    addResponse(responses, response);
    if (responses.length > 1 && responses.length >= this.#limits.maxPipelined) {
      state.fill = "full";
      response.shouldKeepAlive = false;
    }
    if (this.#draining) response.shouldKeepAlive = false;
    this.#handler(request, response);
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
  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (socket.writableEnded) return;
    const response = this.#connections.get(socket)?.responses.at(-1);
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

/** An array that is emptied and filled again for every request would be allocated again as well. */
function addResponse(responses: ServerResponse[], response: ServerResponse): void {
  if (responses.length === 1 && responses[0]!.writableFinished) {
    responses[0] = response;
  } else {
    dropSent(responses);
    responses.push(response);
  }
}

function dropSent(responses: ServerResponse[]): void {
  while (responses[0]?.writableFinished === true) responses.shift();
}

/**
 * Whether two servers could see the host or the end of a request in different places, which Node.js lets pass: two
 * `Host` lines, codings besides `chunked`, and any coding in HTTP/1.0 (RFC 9112, sections 3.2 and 6.1).
 */
function isAmbiguous({ headers, rawHeaders, httpVersionMinor }: IncomingMessage): boolean {
  const coding = headers["transfer-encoding"];
  if (coding !== undefined && (httpVersionMinor === 0 || coding.toLowerCase() !== "chunked")) return true;
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  return hosts > 1;
}
