import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Loopback port that new connections are forwarded to; may be set. */
  target: number;
  /** Pause before bytes are forwarded, for each direction, in milliseconds; may be set. */
  delayMs: number;
  /** Connections that are open now. */
  readonly connections: readonly ProxiedConnection[];
  /**
   * From now on the open connections swallow what they get, without a word to either side, as when a firewall has
   * forgotten them. New connections are not affected.
   */
  silence(which?: (connection: ProxiedConnection) => boolean): void;
  /** Ends the open connections, as when the machine behind is switched off. */
  cut(): void;
  /** Bytes from clients that were swallowed so far. */
  readonly swallowed: number;
}

export interface ProxiedConnection {
  /** What the client has sent so far, at most 64 kB of it. */
  readonly sent: string;
}

class Connection implements ProxiedConnection {
  sent = "";
  isSilent = false;
}

const maxKept = 64 * 1024;

/** Forwards connections to a loopback port, until a test makes it misbehave. */
export async function startTcpProxy(target: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const connections = new Set<Connection>();
  let swallowed = 0;
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: proxy.target, host: "127.0.0.1", noDelay: true });
    const connection = new Connection();
    connections.add(connection);
    const forward = (to: Socket) => (bytes: Buffer) => {
      if (connection.isSilent) {
        if (to === upstream) swallowed += bytes.length;
      } else if (proxy.delayMs > 0) {
        // Timers of one length fire in their order.
        setTimeout(() => to.writable && to.write(bytes), proxy.delayMs);
      } else if (to.writable) to.write(bytes);
    };
    client.on("data", (bytes) => {
      if (connection.sent.length < maxKept) connection.sent += bytes.toString("latin1");
    });
    client.on("data", forward(upstream));
    upstream.on("data", forward(client));
    for (const socket of [client, upstream]) {
      const other = socket === client ? upstream : client;
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        connections.delete(connection);
        if (!connection.isSilent) other.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy = {
    port: (server.address() as AddressInfo).port,
    target,
    delayMs: 0,
    get connections() {
      return [...connections];
    },
    get swallowed() {
      return swallowed;
    },
    silence(which: (connection: ProxiedConnection) => boolean = () => true) {
      for (const connection of connections) if (which(connection)) connection.isSilent = true;
    },
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      proxy.cut();
      await once(server, "close");
    },
  };
  return proxy;
}
