import type { Http2Session, Http2Stream } from "node:http2";
import type { Socket } from "node:net";

/** A client's connection, as far as its calls have something in common. */
export class Connection {
  /** Address of the client's end. */
  readonly peer: string;
  /** Weight of its calls under way; see `Admission`. */
  load = 0;

  constructor(peer: string) {
    this.peer = peer;
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
  const { remoteAddress } = "socket" in carrier ? carrier.socket : carrier;
  const connection = new Connection(remoteAddress ?? "");
  carrier[key] = connection;
  return connection;
}
