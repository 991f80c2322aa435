import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Gets what happens on a connection. */
export interface Receiver {
  /** Where the next bytes are to be read to; undefined for anywhere. Must not be empty. */
  memory(): Uint8Array | undefined;
  /** That many bytes were read to the start of `memory()`. Returns whether to go on reading. */
  filled(length: number): boolean;
  /** Bytes that were read elsewhere; they are gone when this returns. Returns whether to go on reading. */
  received(bytes: Buffer): boolean;
  /** The server sends no more. */
  ended(): void;
  /** Called once, last. */
  closed(reason: Error): void;
}

/** Where a connection leads. */
export interface Origin {
  readonly protocol: string;
  readonly hostname: string;
  readonly port: number;
}

export interface ConnectionOptions extends Origin {
  /** Milliseconds. */
  readonly connectMs: number;
  /** Of an earlier connection to the same place, which makes the TLS handshake cheaper. */
  readonly session?: Buffer | undefined;
  onSession(session: Buffer): void;
  /** Called when the connection is closed. @param hasFailed in the middle of its use, and not by `destroy` alone */
  onOver(connection: Connection, hasFailed: boolean): void;
}

/**
 * Where bytes land that have no other place, of all connections: they are taken out before the next read. Nothing is
 * larger than the records of TLS.
 */
const landing = Buffer.allocUnsafeSlow(16 * 1024);

/**
 * A connection whose bytes are read to where its receiver wants them. A stream makes a new buffer for each read, which
 * costs four times the CPU (docs/decisions/0098).
 *
 * The system may read to `Receiver.memory()` from when it was returned until the next call of `filled` or `received`
 * has returned, or the connection is closed.
 */
export class Connection {
  readonly #socket: Socket;
  #receiver: Receiver | undefined;
  #failure: Error | undefined;
  #isUnwanted = false;

  constructor({ protocol, hostname, port, connectMs, session, onSession, onOver }: ConnectionOptions) {
    const onread = {
      buffer: () => this.#receiver?.memory() ?? landing,
      callback: (length: number, memory: Uint8Array) => this.#read(length, memory),
    };
    const host = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
    const place = { host, port, noDelay: true, onread };
    if (protocol === "https:") {
      const name = isIP(host) === 0 ? host : "";
      const tls = { servername: name, ALPNProtocols: ["http/1.1"], session };
      this.#socket = connectTls({ ...place, ...tls }).on("session", onSession);
    } else this.#socket = connectTcp(place);
    const late = () => this.destroy(timeout(`no connection to ${host} port ${port} within ${connectMs} ms`));
    const timer = setTimeout(late, connectMs);
    this.#socket
      .once("connect", () => clearTimeout(timer))
      .on("error", (reason) => {
        this.#failure ??= reason;
      })
      .on("timeout", () => this.destroy())
      .on("end", () => this.#receiver?.ended())
      .on("close", () => {
        clearTimeout(timer);
        this.#receiver?.closed(this.#failure ?? reset("the connection was closed"));
        onOver(this, this.#receiver !== undefined && !this.#isUnwanted);
      });
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** Goes on reading after the receiver has stopped it. */
  resume(): void {
    this.#socket.resume();
  }

  /** Gives the connection to a receiver, which reads on. */
  use(receiver: Receiver): void {
    if (this.#receiver === undefined) {
      this.#socket.ref();
      this.#socket.setTimeout(0);
    }
    this.#receiver = receiver;
  }

  /** Keeps the connection for later; it does not keep the process from ending. Bytes that come meanwhile close it. */
  rest(forMs: number): void {
    this.#receiver = undefined;
    this.#socket.unref();
    this.#socket.setTimeout(forMs);
    this.#socket.resume();
  }

  /** @param reason when something is wrong with the connection */
  destroy(reason?: Error): void {
    if (reason === undefined) this.#isUnwanted = true;
    this.#failure ??= reason;
    this.#socket.destroy();
  }

  #read(length: number, memory: Uint8Array): boolean {
    if (this.#receiver === undefined) this.destroy();
    else if (memory !== landing) return this.#receiver.filled(length);
    else return this.#receiver.received(landing.subarray(0, length));
    return false;
  }
}

/** An error that the SDK takes for temporary. */
export function reset(message: string): Error {
  return Object.assign(new Error(message), { code: "ECONNRESET" });
}

/** An error that the SDK takes for temporary. */
export function timeout(message: string): Error {
  return Object.assign(new Error(message), { name: "TimeoutError" });
}
