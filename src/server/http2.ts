import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Stream,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import { connectionOfSession } from "../calls/connection.ts";
import type { Http2StreamHandler, HttpHandler } from "../calls/http.ts";
import type { Limits } from "./limits.ts";
import { lingerThenDestroy } from "./linger.ts";

/** The connections that speak HTTP/2. */
export class Http2Connections {
  readonly #server;
  /** Has no connections of its own: makes requests and responses of streams. */
  readonly #requests;
  readonly #handler: HttpHandler;
  readonly #limits: Limits;
  /** Sessions with their connections. */
  readonly #sessions = new Map<ServerHttp2Session, Socket>();

  /** @param takeStream called first for every stream; a stream that it does not take becomes a request */
  constructor(handler: HttpHandler, takeStream: Http2StreamHandler, limits: Limits) {
    this.#handler = handler;
    this.#limits = limits;
    this.#requests = createServer((request, response) => this.#serve(request, response));
    this.#server = createServer({
      maxSessionMemory: limits.maxSessionMegabytes,
      settings: {
        maxConcurrentStreams: limits.maxStreamsOfStranger,
        maxHeaderListSize: limits.maxHeaderBytes,
      },
    }).on("stream", (stream, headers, flags, rawHeaders) => {
      if (!takeStream(stream, headers, rawHeaders)) {
        this.#requests.emit("stream", stream, headers, flags, rawHeaders);
      }
    });
  }

  accept(socket: Socket): void {
    this.#server.once("session", (session) => this.#watch(session, socket));
    this.#server.emit("connection", socket);
  }

  /**
   * Sends every client a GOAWAY: further requests belong elsewhere, and later streams are not served. The earlier
   * notice with the greatest stream id (RFC 9113, section 6.8) is left out: after `goaway()` Node 24 silently drops
   * new streams, so the notice would lose the requests that it is meant to save.
   */
  goAway(): void {
    for (const session of this.#sessions.keys()) session.close();
  }

  /** Closes connections whose session is over, in case their clients do not. */
  closeIdle(): void {
    for (const [session, socket] of this.#sessions) this.#release(session, socket);
  }

  #watch(session: ServerHttp2Session, socket: Socket): void {
    const { helloMs, sessionIdleMs, lingerMs, maxConcurrentStreams } = this.#limits;
    this.#sessions.set(session, socket);
    connectionOfSession(session).onTrusted = () => {
      if (!session.destroyed) session.settings({ maxConcurrentStreams });
    };
    socket.once("close", () => this.#sessions.delete(session));
    session.on("timeout", () => {
      session.close();
      // The session is destroyed once the GOAWAY is written and no request is in flight.
      setTimeout(() => this.#release(session, socket), lingerMs).unref();
    });
    session.once("remoteSettings", () => session.setTimeout(sessionIdleMs));
    session.setTimeout(helloMs);
  }

  #release(session: ServerHttp2Session, socket: Socket): void {
    if (!session.destroyed) return;
    this.#sessions.delete(session);
    lingerThenDestroy(socket, this.#limits.lingerMs);
  }

  #serve(request: Http2ServerRequest, response: Http2ServerResponse): void {
    request.stream.setTimeout(this.#limits.requestMs, cancelIfStalled);
    this.#handler(request, response);
  }
}

/** Cancels a stream with half a request, or with a whole response that the client does not read. A response may pause. */
function cancelIfStalled(this: Http2Stream): void {
  const isTaken = !this.writableEnded || this.writableFinished;
  if (!this.readableEnded || !isTaken) this.close(constants.NGHTTP2_CANCEL);
}
