import type { Duplex } from "node:stream";

/**
 * Destroys a socket that we have ended unless the peer ends it within the time. Until then its bytes are still
 * read: closing on unread bytes resets the connection, which may cost the peer our last answer.
 */
export function lingerThenDestroy(socket: Duplex, lingerMs: number): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once("close", () => clearTimeout(timer));
}
