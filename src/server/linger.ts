import type { Duplex } from "node:stream";

/**
 * Destroys a socket that we have ended unless the peer ends it first. Until then its bytes are still read: closing with
 * unread bytes resets the connection, and the peer may lose our last answer.
 */
export function lingerThenDestroy(socket: Duplex, lingerMs: number): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once("close", () => clearTimeout(timer));
}
