import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Stream,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import type { Http2StreamHandler, HttpHandler } from "../calls/http.ts";
import type { Limits } from "./limits.ts";
import { lingerThenDestroy } from "./linger.ts";

/** The connections that speak HTTP/2. */
export class Http2Connections {
  readonly #server;
  /** Never gets a connection: makes requests and responses of the streams that it is given. */
  readonly #requests;
  readonly #handler: HttpHandler;
  readonly #limits: Limits;
  /** Sessions with their connections. */
  readonly #sessions = new Map<ServerHttp2Session, Socket>();

  /** @param takeStream is asked first, for each stream */
  constructor(handler: HttpHandler, takeStream: Http2StreamHandler, limits: Limits) {
    this.#handler = handler;
    this.#limits = limits;
    this.#requests = createServer((request, response) => this.#serve(request, response));
    this.#server = createServer({
      maxSessionMemory: limits.maxSessionMegabytes,
      settings: {
        maxConcurrentStreams: limits.maxConcurrentStreams,
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
   * Tells every client to send further requests elsewhere, and which of its requests are not served. There is no
   * earlier notice with the greatest stream id, as RFC 9113 (6.8) has it: after `goaway()` Node 24 drops new
   * streams without a word, so that the notice would lose what it is meant to save.
   */
  goAway(): void {
    for (const session of this.#sessions.keys()) session.close();
  }

  /** Sees to connections whose session is over, in case their clients do not. */
  closeIdle(): void {
    for (const [session, socket] of this.#sessions) this.#release(session, socket);
  }

  #watch(session: ServerHttp2Session, socket: Socket): void {
    const { helloMs, sessionIdleMs, lingerMs } = this.#limits;
    this.#sessions.set(session, socket);
    socket.once("close", () => this.#sessions.delete(session));
    session.on("timeout", () => {
      session.close();
      // Only when the GOAWAY has been written, and only without a request under way, this is the end.
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

/** A quiet response may be meant so (a stream of events); half a request is not, nor a whole response that is not taken. */
function cancelIfStalled(this: Http2Stream): void {
  const isTaken = !this.writableEnded || this.writableFinished;
  if (!this.readableEnded || !isTaken) this.close(constants.NGHTTP2_CANCEL);
}
