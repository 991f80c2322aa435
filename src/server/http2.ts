import { constants, createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { connectionOfSession } from "../calls/connection.ts";
import type { Http2StreamHandler, HttpHandler } from "../calls/http.ts";
import { hasOwnAnswerLimit, hasOwnRequestLimit, type OpenStream, takenLast } from "../calls/open-stream.ts";
import { Slots } from "../calls/slots.ts";
import { keepStreamsInTable } from "./http2-internals.ts";
import type { Limits } from "./limits.ts";
import { lingerThenDestroy } from "./linger.ts";
import type { Backlog } from "./slow-clients.ts";

export interface Http2Handlers {
  readonly handler: HttpHandler;
  /** Called first for every stream; a stream that it does not take becomes a request. */
  readonly takeStream: Http2StreamHandler;
  /** The open streams that it has taken. */
  readonly takenStreams: Iterable<OpenStream>;
}

/** The connections that speak HTTP/2. */
export class Http2Connections {
  readonly #server;
  /** Has no connections of its own: makes requests and responses of streams. */
  readonly #requests;
  readonly #takenStreams: Iterable<OpenStream>;
  /** The open streams that have become requests. */
  readonly #streams = new Slots<OpenStream>();
  /** When streams were reset that may not be closed yet. */
  readonly #resets = new WeakMap<ServerHttp2Stream, number>();
  readonly #limits: Limits;
  /** Sessions with their connections. */
  readonly #sessions = new Map<ServerHttp2Session, Socket>();

  constructor({ handler, takeStream, takenStreams }: Http2Handlers, limits: Limits) {
    this.#takenStreams = takenStreams;
    this.#limits = limits;
    this.#requests = createServer(handler);
    this.#server = createServer({
      maxSessionMemory: limits.maxSessionMegabytes,
      settings: {
        maxConcurrentStreams: Math.min(limits.maxStreamsOfStranger, limits.maxConcurrentStreams),
        maxHeaderListSize: limits.maxHeaderBytes,
      },
    }).on("stream", (stream, headers, flags, rawHeaders) => {
      if (takeStream(stream, headers, rawHeaders)) return;
      const open = { slot: -1, stream, startedAt: performance.now() };
      this.#streams.add(open);
      stream.once("close", () => this.#streams.remove(open));
      this.#requests.emit("stream", stream, headers, flags, rawHeaders);
    });
  }

  /** @param onLargeAnswer called with the size of each large answer on the connection */
  accept(socket: Socket, onLargeAnswer: (bytes: number) => void): void {
    this.#server.once("session", (session) => {
      keepStreamsInTable(session);
      connectionOfSession(session).onLargeAnswer = onLargeAnswer;
      this.#watch(session, socket);
    });
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

  /** Resets the streams whose request is not whole in time. */
  cutLateRequests(): void {
    const newestOverdue = performance.now() - this.#limits.requestMs;
    for (const { stream, startedAt } of this.#openStreams()) {
      if (stream === undefined || stream.readableEnded || startedAt > newestOverdue) continue;
      if (!hasOwnRequestLimit(stream)) this.#cut(stream);
    }
  }

  /** The answers that wait, but for those with a limit of their own. */
  *backlogs(): Generator<Backlog> {
    for (const { stream } of this.#openStreams()) {
      if (stream === undefined || stream.writableLength === 0 || hasOwnAnswerLimit(stream)) continue;
      const { writableLength: bytes } = stream;
      yield { holder: stream, bytes, takenAt: takenLast(stream), cut: () => this.#cut(stream) };
    }
  }

  /** The connections with an answer that limits itself. */
  *sending(): Generator<Socket> {
    for (const { stream } of this.#openStreams()) {
      if (stream === undefined || !hasOwnAnswerLimit(stream)) continue;
      const socket = this.#sessions.get(stream.session as ServerHttp2Session);
      if (socket !== undefined) yield socket;
    }
  }

  *#openStreams(): Generator<OpenStream> {
    yield* this.#takenStreams;
    yield* this.#streams;
  }

  /** Resets a stream; if its reset can't be sent either, ends the whole connection, which alone frees the memory. */
  #cut(stream: ServerHttp2Stream): void {
    const resetAt = this.#resets.get(stream);
    if (resetAt === undefined) {
      this.#resets.set(stream, performance.now());
      stream.close(constants.NGHTTP2_CANCEL);
    } else if (performance.now() - resetAt >= this.#limits.lingerMs && stream.session !== undefined) {
      this.#sessions.get(stream.session as ServerHttp2Session)?.destroy();
    }
  }

  #watch(session: ServerHttp2Session, socket: Socket): void {
    const { helloMs, sessionIdleMs, lingerMs, maxConcurrentStreams } = this.#limits;
    connectionOfSession(session).onTrusted = () => {
      if (!session.destroyed) session.settings({ maxConcurrentStreams });
    };
    this.#sessions.set(session, socket);
    socket.once("close", () => this.#sessions.delete(session));
    // Frames that belong to no stream, such as PING, do not begin the time again.
    session.once("timeout", () => {
      session.close();
      // The session is destroyed once the GOAWAY is written and no request is in flight, which may take long.
      const timer = setInterval(() => this.#release(session, socket), lingerMs).unref();
      socket.once("close", () => clearInterval(timer));
    });
    session.once("remoteSettings", () => session.setTimeout(sessionIdleMs));
    session.setTimeout(helloMs);
  }

  #release(session: ServerHttp2Session, socket: Socket): void {
    if (!session.destroyed || !this.#sessions.delete(session)) return;
    lingerThenDestroy(socket, this.#limits.lingerMs);
  }
}
