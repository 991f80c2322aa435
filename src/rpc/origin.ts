import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";

/** What the calls of one HTTP/2 connection have in common. */
interface ConnectionOrigin {
  readonly peer: string;
  readonly connection: object;
}

const origins = new WeakMap<ServerHttp2Session, ConnectionOrigin>();
const gone: ConnectionOrigin = { peer: "", connection: {} };

/** Where a stream comes from; looked up once a connection, because a session is slow to tell. */
export function originOf({ session }: ServerHttp2Stream): ConnectionOrigin {
  if (session === undefined) return gone;
  let origin = origins.get(session as ServerHttp2Session);
  if (origin === undefined) {
    origin = { peer: session.socket.remoteAddress ?? "", connection: session };
    origins.set(session as ServerHttp2Session, origin);
  }
  return origin;
}
