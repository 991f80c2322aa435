import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Stream,
  type ServerHttp2Session,
} from "node:http2";
import type { Socket } from "node:net";
import { type Connection, connectionOfSession } from "../calls/connection.ts";
import type { Http2StreamHandler, HttpHandler } from "../calls/http.ts";
import type { Limits } from "./limits.ts";
import { lingerThenDestroy } from "./linger.ts";

/** An HTTP/2 session. */
interface Session {
  readonly socket: Socket;
  readonly connection: Connection;
  /** Id of the latest stream of the client when the session was looked at. */
  lastStream: number;
  /** When the session was in use for the last time, as far as is known; as of `performance.now()`. */
  usedAt: number;
}

/** The connections that speak HTTP/2. */
export class Http2Connections {
  readonly #server;
  /** Has no connections of its own: makes requests and responses of streams. */
  readonly #requests;
  readonly #handler: HttpHandler;
  readonly #limits: Limits;
  readonly #sessions = new Map<ServerHttp2Session, Session>();
  readonly #sweep: NodeJS.Timeout;

  /** @param takeStream called first for every stream; a stream that it does not take becomes a request */
  constructor(handler: HttpHandler, takeStream: Http2StreamHandler, limits: Limits) {
    this.#handler = handler;
    this.#limits = limits;
    this.#requests = createServer((request, response) => this.#serve(request, response));
    this.#server = createServer({
      maxSessionMemory: limits.maxSessionMegabytes,
      settings: {
        maxConcurrentStreams: Math.min(limits.maxStreamsOfStranger, limits.maxConcurrentStreams),
        maxHeaderListSize: limits.maxHeaderBytes,
      },
    }).on("stream", (stream, headers, flags, rawHeaders) => {
      if (!takeStream(stream, headers, rawHeaders)) {
        this.#requests.emit("stream", stream, headers, flags, rawHeaders);
      }
    });
    this.#sweep = setInterval(() => this.#closeUnused(), Math.min(60_000, limits.sessionIdleMs / 4)).unref();
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
    for (const [session, { socket }] of this.#sessions) this.#release(session, socket);
  }

  /** Ends the search for unused sessions. */
  close(): void {
    clearInterval(this.#sweep);
  }

  #watch(session: ServerHttp2Session, socket: Socket): void {
    const { helloMs, maxConcurrentStreams } = this.#limits;
    const connection = connectionOfSession(session);
    connection.onTrusted = () => {
      if (!session.destroyed) session.settings({ maxConcurrentStreams });
    };
    this.#sessions.set(session, { socket, connection, lastStream: 0, usedAt: performance.now() });
    socket.once("close", () => this.#sessions.delete(session));
    session.on("timeout", () => this.#end(session, socket));
    session.once("remoteSettings", () => session.setTimeout(0));
    session.setTimeout(helloMs);
  }

  /** Closes the sessions without calls. Node's own timeout would not do: every PING begins it again. */
  #closeUnused(): void {
    const now = performance.now();
    for (const [session, entry] of this.#sessions) {
      this.#release(session, entry.socket);
      if (session.closed) continue;
      const { connection, usedAt } = entry;
      const { lastProcStreamID: lastStream = 0 } = session.state;
      if (lastStream !== entry.lastStream || connection.load > 0 || connection.streams > 0) {
        entry.lastStream = lastStream;
        entry.usedAt = now;
      } else if (now - usedAt >= this.#limits.sessionIdleMs) {
        this.#end(session, entry.socket);
      }
    }
  }

  /** Sends a GOAWAY. The session is destroyed once that is written and no request is in flight. */
  #end(session: ServerHttp2Session, socket: Socket): void {
    session.close();
    setTimeout(() => this.#release(session, socket), this.#limits.lingerMs).unref();
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
