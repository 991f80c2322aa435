import { once } from "node:events";
import { type AddressInfo, createServer, isIPv6, type Server as NetServer, type Socket } from "node:net";
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server as TlsServer,
} from "node:tls";
import { networkOf } from "../calls/client-address.ts";
import type { Http2StreamHandler, HttpHandler, HttpVersion } from "../calls/http.ts";
import type { OpenStream } from "../calls/open-stream.ts";
import { ShareHolders } from "../calls/share-holders.ts";
import { detectHttpVersion } from "./http-version.ts";
import { Http1Connections } from "./http1.ts";
import { Http2Connections } from "./http2.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { SlowClients } from "./slow-clients.ts";

/** PEM. */
export interface ServerTls {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Authorities of client certificates. Clients are asked for one but need not have it: the pipeline decides by call. */
  readonly clientCa?: string | Buffer | undefined;
}

export interface HttpServerOptions {
  readonly handler: HttpHandler;
  /** Called for every HTTP/2 stream before the handler; takes none by default. */
  readonly takeStream?: Http2StreamHandler | undefined;
  /** The open streams that `takeStream` has taken. */
  readonly takenStreams?: Iterable<OpenStream> | undefined;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Without it, connections are in clear text. */
  readonly tls?: ServerTls | undefined;
  /** Open connections, with shares by client address; more are closed at once. Without it, any number. */
  readonly maxConnections?: number | undefined;
  /** Counts connections: those that are open, by version, and those that are refused because there are too many. */
  readonly connections?:
    | { opened(version: HttpVersion): void; closed(version: HttpVersion): void; refused?(): void }
    | undefined;
  readonly limits?: Partial<Limits> | undefined;
}

/** Ciphers of TLS 1.2: forward-secret ones with authenticated encryption. Those of TLS 1.3 all are. */
const ciphers = [
  ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
  ...["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
  ...["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
].join(":");

function contextOf({ cert, key, clientCa: ca }: ServerTls): SecureContextOptions {
  return { cert, key, ...(ca !== undefined && { ca }), minVersion: "TLSv1.2", ciphers };
}

/** How often idle connections are looked for during a close; Node has no event for them. */
const sweepMs = 50;

/** How long a connection that was accepted just before the port closed may take to send its first bytes. */
const newcomerMs = 100;

/**
 * One port for HTTP/1.1 and HTTP/2, with prior knowledge in clear text and with ALPN over TLS.
 *
 * What ends has ended in order, with an answer; what is cut loses its connection.
 */
export class Server {
  readonly #options: HttpServerOptions;
  readonly #limits: Limits;
  readonly #listener: NetServer;
  /** The listener, if it speaks TLS. */
  readonly #tls: TlsServer | undefined;
  readonly #http1: Http1Connections;
  readonly #http2: Http2Connections;
  readonly #places: ShareHolders;
  /** Every TCP connection. */
  readonly #sockets = new Set<Socket>();
  /** Connections whose HTTP version is not known yet. */
  readonly #undecided = new Set<Socket>();
  readonly #slowClients: SlowClients;
  /** Runs while there are connections. */
  #sweep: NodeJS.Timeout | undefined;
  /** Bytes of large answers since the last sweep. */
  #answeredBytes = 0;
  #isClosing = false;
  #cuts = 0;

  /** @throws Error when key and certificate can't be used */
  constructor(options: HttpServerOptions) {
    const { handler, takeStream = () => false, takenStreams = [], tls, maxConnections } = options;
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#http1 = new Http1Connections(handler, this.#limits);
    this.#http2 = new Http2Connections({ handler, takeStream, takenStreams }, this.#limits);
    this.#slowClients = new SlowClients(this.#limits);
    // TCP's own keep-alive detects peers that have vanished. Half-open, for clients that end their side early.
    const tcp = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
    if (tls === undefined) {
      this.#listener = createServer(tcp, (socket) => this.#accept(socket));
    } else {
      const { helloMs: handshakeTimeout } = this.#limits;
      const ALPNProtocols = ["h2", "http/1.1"];
      const asking = tls.clientCa !== undefined && { requestCert: true, rejectUnauthorized: false };
      this.#tls = createTlsServer(
        { ...tcp, ...contextOf(tls), ...asking, ALPNProtocols, handshakeTimeout },
        (socket) => this.#accept(socket),
      ).on("tlsClientError", (_, socket) => socket.destroy());
      this.#listener = this.#tls;
    }
    this.#places = new ShareHolders(maxConnections ?? Number.POSITIVE_INFINITY);
    this.#listener.on("connection", (socket) => this.#admit(socket));
  }

  /** For example `http://127.0.0.1:8080`; once it listens. */
  get url(): string {
    const { host, tls } = this.#options;
    return `${tls === undefined ? "http" : "https"}://${isIPv6(host) ? `[${host}]` : host}:${this.port}`;
  }

  /** Once it listens. */
  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  /** Rejects with the system's error when it can't listen. */
  async listen(): Promise<{ port: number }> {
    const { host, port } = this.#options;
    this.#listener.listen({ host, port });
    await once(this.#listener, "listening");
    // A connection that can't be accepted, for example with too many open files, must not end the process.
    this.#listener.on("error", (error) => process.emitWarning(error));
    return { port: this.port };
  }

  /**
   * Handshakes from now on use these files; connections that are open stay as they are.
   *
   * @throws Error when key and certificate can't be used; nothing changes then
   */
  renewTls(tls: ServerTls): void {
    this.#tls?.setSecureContext(contextOf(tls));
  }

  /** From now on HTTP/1 answers carry `Connection: close`. Everything is still served, new connections too. */
  drain(): void {
    this.#http1.drain();
  }

  /**
   * Accepts no more connections, sends HTTP/2 sessions a GOAWAY, closes idle connections, and resolves when the
   * busy ones have finished.
   *
   * @param deadline what is left when it aborts is cut, but for connections with an answer that limits itself: a download
   * @param lastDeadline when it aborts, these are cut, too
   */
  async close(deadline: AbortSignal, lastDeadline = deadline): Promise<void> {
    this.#isClosing = true;
    const closed = once(this.#listener, "close");
    this.#listener.close();
    const hello = setTimeout(() => {
      for (const socket of this.#undecided) socket.destroy();
    }, newcomerMs);
    this.#http1.drain();
    this.#http2.goAway();
    const closeIdle = () => {
      this.#http1.closeIdle();
      this.#http2.closeIdle();
    };
    closeIdle();
    const sweep = setInterval(closeIdle, sweepMs);
    const cutExcept = (kept: ReadonlySet<Socket>) => {
      for (const socket of this.#sockets) {
        if (kept.has(socket)) continue;
        socket.destroy();
        this.#cuts++;
      }
    };
    using _ = onAbort(deadline, () => cutExcept(this.#sending()));
    using __ = onAbort(lastDeadline, () => cutExcept(new Set()));
    await closed;
    clearTimeout(hello);
    clearInterval(sweep);
    this.#http1.close();
  }

  /** How many connections were cut at a deadline of `close`. */
  get cuts(): number {
    return this.#cuts;
  }

  /** The connections with an answer that limits itself. */
  #sending(): Set<Socket> {
    return new Set([...this.#http1.sending(), ...this.#http2.sending()]);
  }

  #admit(socket: Socket): void {
    const holder = networkOf(socket.remoteAddress ?? "");
    if (!this.#places.enter(holder)) {
      socket.destroy();
      this.#options.connections?.refused?.();
      return;
    }
    this.#sockets.add(socket);
    this.#sweep ??= setInterval(() => this.#cutSlowClients(), this.#limits.sweepMs).unref();
    socket.once("close", () => {
      this.#forget(socket);
      this.#places.leave(holder);
    });
  }

  #forget(socket: Socket): void {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  /** Looks again at once when much has been answered since the last time. */
  readonly #onLargeAnswer = (bytes: number): void => {
    const threshold = this.#limits.maxUnsentBytes / 8;
    const isAbove = this.#answeredBytes >= threshold;
    this.#answeredBytes += bytes;
    if (!isAbove && this.#answeredBytes >= threshold) setImmediate(() => this.#cutSlowClients());
  };

  #cutSlowClients(): void {
    this.#answeredBytes = 0;
    this.#http2.cutLateRequests();
    this.#slowClients.check([...this.#http1.backlogs(), ...this.#http2.backlogs()]);
  }

  #accept(socket: Socket): void {
    // Until HTTP takes the socket it has no other listener, and an error without one ends the process.
    socket.on("error", () => {});
    if (this.#isClosing || socket.destroyed) {
      socket.destroy();
      return;
    }
    this.#undecided.add(socket);
    socket.once("close", () => this.#undecided.delete(socket));
    detectHttpVersion(socket, this.#limits.helloMs, (version) => {
      this.#undecided.delete(socket);
      if (this.#isClosing && version === "h2") {
        // A GOAWAY would have to be sent before its first request.
        socket.destroy();
        return;
      }
      // The end of an HTTP/2 client is its end: it could not acknowledge anything any more.
      if (version === "h2") socket.allowHalfOpen = false;
      this.#options.connections?.opened(version);
      socket.once("close", () => this.#options.connections?.closed(version));
      (version === "h2" ? this.#http2 : this.#http1).accept(socket, this.#onLargeAnswer);
    });
  }
}

/** Calls the listener when the signal aborts, or now if it has, until it is disposed of. */
function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  signal.addEventListener("abort", listener, { once: true });
  if (signal.aborted) listener();
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", listener) };
}
