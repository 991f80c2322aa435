import { connect as connectTcp, isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { AbstractConnector, type Redis, type RedisOptions } from "ioredis";

export interface Address {
  readonly host: string;
  readonly port: number;
}

type ConnectorOptions = Pick<RedisOptions, "host" | "port" | "tls" | "disconnectTimeout">;

/** The TCP sockets under the streams of connections, and where they lead. */
const opened = new WeakMap<object, { readonly socket: Socket; readonly address: Address }>();

/**
 * Opens the sockets of a connection. Unlike those of ioredis they can be reset, with TLS as well: what a server has not
 * received yet is then never sent.
 */
export class Connector extends AbstractConnector {
  readonly #options: ConnectorOptions;

  constructor(options: ConnectorOptions) {
    super(options.disconnectTimeout ?? 0);
    this.#options = options;
  }

  async connect(reportError: (type: string, error: Error) => void): Promise<Socket> {
    this.connecting = true;
    const address = await this.locate(reportError);
    if (!this.connecting) throw new Error("Connection is closed.");
    const socket = connectTcp(address);
    const stream = this.#options.tls ? secured(socket, address, this.#options.tls) : socket;
    opened.set(stream, { socket, address });
    // Between two listeners of ioredis an error without one would end the process.
    socket.on("error", ignore);
    stream.on("error", ignore);
    // A failed attempt reports its first error even if nothing listens to the stream yet.
    stream.once("error", (error) => {
      this.firstError = error;
    });
    this.stream = stream;
    return stream;
  }

  /** The server to connect to. A rejection ends the connection for good. */
  protected async locate(_reportError: (type: string, error: Error) => void): Promise<Address> {
    const { host = "localhost", port = 6379 } = this.#options;
    return { host, port };
  }
}

/** Ends a connection at once; its client then connects again. Commands that were not delivered are dropped. */
export function resetConnection({ stream }: Redis): void {
  opened.get(stream)?.socket.resetAndDestroy();
}

/** The server that a connection leads to; undefined before its first attempt to connect. */
export function addressOf({ stream }: Redis): Address | undefined {
  return stream && opened.get(stream)?.address;
}

const ignore = () => {};

function secured(socket: Socket, { host }: Address, tls: ConnectionOptions): Socket {
  return connectTls({ ...(isIP(host) === 0 && { servername: host }), host, ...tls, socket });
}
