import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A loopback port that nobody listens on, from below the ranges that operating systems take outgoing ports from
 * (32768 and up on Linux, 49152 on macOS), so that it is likely to stay free while a server on it is restarted.
 * Somebody else may still take it first: starting a server on it must be able to try another.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    if (await canListen(port)) return port;
  }
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer().listen({ port, host: "127.0.0.1" });
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}

/**
 * Starts a server on free ports, and again on others when another process was faster.
 *
 * @param start rejects with an error that carries the system's "Address already in use" when a port was taken
 */
export async function onFreePorts<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === 5 || !/address (already )?in use|cannot bind/i.test(String(error))) throw error;
    }
  }
}
