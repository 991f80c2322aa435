import type { Http2Session, Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { type ClientCertificate, clientCertificateOf } from "./client-certificate.ts";
import type { Credentials } from "./credentials.ts";
import { copyOf } from "./text-copy.ts";

/** From this size on an answer is reported, in bytes. That of a keep-alive never is. */
const largeBytes = 16_384;

/** A client's connection: what its calls share. */
export class Connection {
  /** Address of the client. */
  readonly peer: string;
  /** Whether it uses TLS. */
  readonly isEncrypted: boolean;
  /** Weight of its calls in flight; see `Admission`. */
  load = 0;
  /** Whether a caller on it has been authenticated. */
  isTrusted = false;
  /** Called when a caller on it is authenticated for the first time. */
  onTrusted: (() => void) | undefined = undefined;
  /** Called with the size of each large answer. */
  onLargeAnswer: ((bytes: number) => void) | undefined = undefined;
  /** Set until the certificate has been read from it. */
  #socket: Socket | undefined;
  #certificate: ClientCertificate | undefined;
  #keptCredentials: Credentials | undefined;

  constructor(peer: string, socket?: Socket) {
    this.peer = peer;
    this.isEncrypted = socket !== undefined && "encrypted" in socket && socket.encrypted === true;
    this.#socket = socket;
  }

  /** The certificate that the client presented; read on first use. */
  get certificate(): ClientCertificate | undefined {
    if (this.#socket !== undefined) {
      this.#certificate = clientCertificateOf(this.#socket);
      this.#socket = undefined;
    }
    return this.#certificate;
  }

  /** Reports the size of an answer, all of which may wait until the client takes it. */
  answered(bytes: number): void {
    if (bytes >= largeBytes) this.onLargeAnswer?.(bytes);
  }

  /** Records that a caller on it has been authenticated. */
  trust(): void {
    this.isTrusted = true;
    this.onTrusted?.();
  }

  /**
   * A copy of credentials for streams, which need them for as long as they live. Streams that send the same
   * credentials share it.
   */
  keep({ authorization, loginId }: KeptCredentials): Credentials {
    const kept = this.#keptCredentials;
    if (kept !== undefined && kept.authorization === authorization && kept.loginId === loginId) return kept;
    const copy = {
      authorization: authorization && copyOf(authorization),
      loginId: loginId && copyOf(loginId),
      loginCookie: undefined,
    };
    this.#keptCredentials = copy;
    return copy;
  }
}

type KeptCredentials = Pick<Credentials, "authorization" | "loginId">;

const key = Symbol("connection");

interface Carrier {
  [key]?: Connection;
}

/** The connection of an HTTP/1 socket. */
export function connectionOfSocket(socket: Socket): Connection {
  return connectionOf(socket);
}

/** The connection of an HTTP/2 stream. */
export function connectionOfStream({ session }: Http2Stream): Connection {
  // The connection is closed: nothing is known about it any more.
  return session === undefined ? new Connection("") : connectionOf(session);
}

/** The connection of an HTTP/2 session. */
export function connectionOfSession(session: Http2Session): Connection {
  return connectionOf(session);
}

/** Kept as a property of the socket or session, so that it is collected together with it. */
function connectionOf(carrier: (Socket | Http2Session) & Carrier): Connection {
  const existing = carrier[key];
  if (existing !== undefined) return existing;
  const socket = "socket" in carrier ? carrier.socket : carrier;
  const connection = new Connection(socket.remoteAddress ?? "", socket);
  carrier[key] = connection;
  return connection;
}
