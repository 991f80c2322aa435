import type { Http2Session, Http2Stream } from "node:http2";
import type { Socket } from "node:net";
import { type ClientCertificate, clientCertificateOf } from "./client-certificate.ts";

/** A client's connection, as far as its calls have something in common. */
export class Connection {
  /** Address of the client's end. */
  readonly peer: string;
  /** Whether it is by TLS. */
  readonly isEncrypted: boolean;
  /** Weight of its calls under way; see `Admission`. */
  load = 0;
  /** From which the certificate is still to be read. */
  #socket: Socket | undefined;
  #certificate: ClientCertificate | undefined;

  constructor(peer: string, socket?: Socket) {
    this.peer = peer;
    this.isEncrypted = socket !== undefined && "encrypted" in socket && socket.encrypted === true;
    this.#socket = socket;
  }

  /** The certificate that the client has shown; read when somebody asks, once. */
  get certificate(): ClientCertificate | undefined {
    if (this.#socket !== undefined) {
      this.#certificate = clientCertificateOf(this.#socket);
      this.#socket = undefined;
    }
    return this.#certificate;
  }
}

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
  // Of a connection that is gone nothing can be told.
  return session === undefined ? new Connection("") : connectionOf(session);
}

/** Hangs on the carrier, because a map of connections would have to be told when they are gone. */
function connectionOf(carrier: (Socket | Http2Session) & Carrier): Connection {
  const known = carrier[key];
  if (known !== undefined) return known;
  const socket = "socket" in carrier ? carrier.socket : carrier;
  const connection = new Connection(socket.remoteAddress ?? "", socket);
  carrier[key] = connection;
  return connection;
}
