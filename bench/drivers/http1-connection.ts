import { once } from "node:events";
import { connect, type Socket } from "node:net";

interface Waiting {
  resolve(status: number): void;
  reject(error: Error): void;
}

const headEnd = Buffer.from("\r\n\r\n");
const lastChunk = Buffer.from("0\r\n\r\n");

/** A caller's connection with one request in flight at a time; only the status of a response is kept. */
export class Http1Connection {
  readonly #port: number;
  #socket: Socket;
  #unread: Buffer | undefined;
  #waiting: Waiting | undefined;
  #gone: Error | undefined;

  private constructor(port: number) {
    this.#port = port;
    this.#socket = this.#connect();
  }

  static async open(port: number): Promise<Http1Connection> {
    const connection = new Http1Connection(port);
    await once(connection.#socket, "connect");
    return connection;
  }

  /** Sends a request; resolves with the status when the whole response has arrived. */
  exchange(request: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#gone !== undefined) return reject(this.#gone);
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #connect(): Socket {
    const onread = { buffer: Buffer.allocUnsafe(16_384), callback: this.#read.bind(this) };
    const socket = connect({ port: this.#port, host: "127.0.0.1", noDelay: true, onread });
    const fail = (error: Error) => {
      if (socket === this.#socket) this.#fail(error);
    };
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the server closed the connection")));
    // `onread` takes the data; resuming lets the end be read.
    return socket.resume();
  }

  #read(length: number, buffer: Uint8Array): boolean {
    const chunk = Buffer.from(buffer.buffer, buffer.byteOffset, length);
    const bytes = this.#unread === undefined ? chunk : Buffer.concat([this.#unread, chunk]);
    const response = parseResponse(bytes);
    // The next read overwrites the buffer.
    this.#unread = response === undefined ? Buffer.from(bytes) : undefined;
    if (response === undefined) return true;
    if (response.isLast) {
      const last = this.#socket;
      this.#socket = this.#connect();
      last.destroy();
    }
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(response.status);
    return true;
  }

  #fail(error: Error): void {
    this.#gone ??= error;
    this.#waiting?.reject(this.#gone);
    this.#waiting = undefined;
  }
}

interface ResponseHead {
  readonly status: number;
  /** Whether the server closes the connection after it. */
  readonly isLast: boolean;
}

/** Undefined while the response is incomplete. */
export function parseResponse(bytes: Buffer): ResponseHead | undefined {
  const end = bytes.indexOf(headEnd);
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  const isWhole =
    length !== undefined
      ? bytes.length >= end + headEnd.length + Number(length)
      : !/\r\ntransfer-encoding: *chunked/i.test(head) || bytes.subarray(-lastChunk.length).equals(lastChunk);
  return isWhole
    ? { status: Number(head.slice(9, 12)), isLast: /\r\nconnection: *close/i.test(head) }
    : undefined;
}
