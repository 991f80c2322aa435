import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface SlowProxy extends AsyncDisposable {
  readonly port: number;
  /** Bytes that the server has sent so far. */
  readonly forwarded: number;
  /** Resets all open connections. */
  cut(): void;
}

/** Forwards connections to a loopback port, with their ends and resets. Limits each to `bytesPerSecond` towards the client. */
export async function startSlowProxy(target: number, bytesPerSecond: number): Promise<SlowProxy> {
  const sockets = new Set<Socket>();
  let forwarded = 0;
  const server = createServer((client) => {
    const upstream = connect(target, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      const other = socket === client ? upstream : client;
      socket.on("error", () => other.resetAndDestroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroySoon();
      });
    }
    client.pipe(upstream);
    const count = (bytes: number) => {
      forwarded += bytes;
    };
    void trickle(upstream, client, bytesPerSecond, count).catch(() => client.resetAndDestroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    get forwarded() {
      return forwarded;
    },
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

async function trickle(
  from: Socket,
  to: Socket,
  bytesPerSecond: number,
  count: (bytes: number) => void,
): Promise<void> {
  let nextAt = performance.now();
  for await (const chunk of from as AsyncIterable<Buffer>) {
    count(chunk.length);
    if (!to.write(chunk)) await once(to, "drain");
    nextAt = Math.max(nextAt, performance.now() - 10) + (chunk.length * 1000) / bytesPerSecond;
    const wait = nextAt - performance.now();
    if (wait > 1) await delay(wait);
  }
  to.end();
}
