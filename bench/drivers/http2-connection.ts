import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { StreamTable } from "../../src/server/http2-internals.ts";
import type { Header } from "./driver.ts";
import { constantHeaders, HeaderReader } from "./hpack.ts";

/** Receives the response of a stream; `status` is `grpc-status`, undefined after a reset or without that trailer. */
export interface StreamListener {
  data(chunk: Buffer): void;
  end(status: string | undefined, resetCode: number | undefined): void;
  fail(error: Error): void;
}

interface Stream {
  readonly listener: StreamListener;
  /** Bytes that the server still accepts on this stream. */
  sendWindow: number;
  /** Bytes received since the last WINDOW_UPDATE. */
  taken: number;
  status: string | undefined;
}

interface HeldData {
  readonly id: number;
  readonly frame: Buffer;
  readonly bytes: number;
}

export const frameTypes = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
} as const;
export const flags = { ack: 1, endStream: 1, endHeaders: 4, padded: 8, priority: 32 } as const;
export const initialWindowSetting = 4;
export const defaultWindow = 65_535;
const ourWindow = 2 ** 24;
export const frameHeadBytes = 9;

/** HTTP/2 over a raw socket: one kind of request, and only the kinds of frames that Node.js writes. */
export class Http2Connection {
  readonly #socket: Socket;
  readonly #streams = new StreamTable<Stream>();
  readonly #headers: { readonly first: Buffer; readonly later: Buffer };
  readonly #reader = new HeaderReader();
  #unread: Buffer | undefined;
  #nextStream = 1;
  #sendWindow = defaultWindow;
  #initialStreamWindow = defaultWindow;
  #taken = 0;
  /** Data that waits for a window of the server; later data of any stream waits behind it. */
  readonly #held: HeldData[] = [];
  #isCorked = false;
  #gone: Error | undefined;

  private constructor(port: number, path: string, headers: readonly Header[]) {
    this.#headers = constantHeaders([
      [":method", "POST"],
      [":scheme", "http"],
      [":authority", "127.0.0.1"],
      [":path", path],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
      ["user-agent", "downlease-bench"],
      ...headers,
    ]);
    this.#socket = connect({ port, host: "127.0.0.1", noDelay: true });
    this.#socket.on("error", (error) => this.#fail(error));
    this.#socket.on("close", () => this.#fail(new Error("the server closed the connection")));
    this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(initialWindowSetting);
    settings.writeUInt32BE(ourWindow, 2);
    this.#socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    this.#socket.write(frame(frameTypes.settings, 0, 0, settings));
    this.#socket.write(windowUpdate(0, ourWindow - defaultWindow));
  }

  /** @param headers of every request besides those of gRPC */
  static async open(port: number, path: string, headers: readonly Header[] = []): Promise<Http2Connection> {
    const connection = new Http2Connection(port, path, headers);
    await once(connection.#socket, "connect");
    return connection;
  }

  /** Opens a stream; `send` sends its body. */
  request(listener: StreamListener): number {
    if (this.#gone !== undefined) throw this.#gone;
    const id = this.#nextStream;
    this.#nextStream += 2;
    this.#streams.set(id, { listener, sendWindow: this.#initialStreamWindow, taken: 0, status: undefined });
    this.#write(
      frame(frameTypes.headers, flags.endHeaders, id, id === 1 ? this.#headers.first : this.#headers.later),
    );
    return id;
  }

  send(id: number, payload: Buffer, isLast: boolean): void {
    if (this.#gone !== undefined) throw this.#gone;
    const data = frame(frameTypes.data, isLast ? flags.endStream : 0, id, payload);
    this.#held.push({ id, frame: data, bytes: payload.length });
    this.#sendHeld();
  }

  close(): void {
    this.#socket.destroy();
  }

  #sendHeld(): void {
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const { id, frame: data, bytes } = next;
      const stream = this.#streams.get(id);
      if (stream !== undefined) {
        if (Math.min(stream.sendWindow, this.#sendWindow) < bytes) return;
        stream.sendWindow -= bytes;
        this.#sendWindow -= bytes;
        this.#write(data);
      }
      this.#held.shift();
    }
  }

  /** Writes of one turn of the event loop are sent together. */
  #write(bytes: Buffer): void {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      setImmediate(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  #read(chunk: Buffer): void {
    const bytes = this.#unread === undefined ? chunk : Buffer.concat([this.#unread, chunk]);
    let at = 0;
    while (bytes.length - at >= frameHeadBytes) {
      const end = at + frameHeadBytes + bytes.readUIntBE(at, 3);
      if (end > bytes.length) break;
      const id = bytes.readUInt32BE(at + 5) & 0x7fff_ffff;
      this.#frame(bytes[at + 3]!, bytes[at + 4]!, id, bytes.subarray(at + frameHeadBytes, end));
      at = end;
    }
    this.#unread = at < bytes.length ? bytes.subarray(at) : undefined;
  }

  #frame(type: number, flag: number, id: number, payload: Buffer): void {
    const stream = this.#streams.get(id);
    switch (type) {
      case frameTypes.data:
        this.#refuse(flag & flags.padded, "padding");
        this.#take(id, stream, payload.length);
        if (payload.length > 0) stream?.listener.data(payload);
        if ((flag & flags.endStream) !== 0) this.#end(id, stream);
        return;
      case frameTypes.headers: {
        this.#refuse(flag & (flags.padded | flags.priority), "padding or priority");
        this.#refuse(~flag & flags.endHeaders, "a header block of several frames");
        const status = this.#reader.find(payload, "grpc-status");
        if (stream !== undefined && status !== undefined) stream.status = status;
        if ((flag & flags.endStream) !== 0) this.#end(id, stream);
        return;
      }
      case frameTypes.reset:
        this.#end(id, stream, payload.readUInt32BE());
        return;
      case frameTypes.settings:
        if ((flag & flags.ack) === 0) this.#settings(payload);
        return;
      case frameTypes.ping:
        if ((flag & flags.ack) === 0) this.#write(frame(frameTypes.ping, flags.ack, 0, payload));
        return;
      case frameTypes.goAway:
        this.#fail(new Error(`the server sent GOAWAY with error ${payload.readUInt32BE(4)}`));
        return;
      case frameTypes.windowUpdate:
        if (id === 0) this.#sendWindow += payload.readUInt32BE();
        else if (stream !== undefined) stream.sendWindow += payload.readUInt32BE();
        this.#sendHeld();
    }
  }

  #refuse(isPresent: number, what: string): void {
    if (isPresent !== 0)
      this.#fail(new Error(`the server sends ${what}, which this client does not support`));
  }

  #take(id: number, stream: Stream | undefined, bytes: number): void {
    this.#taken += bytes;
    if (this.#taken > ourWindow / 2) {
      this.#write(windowUpdate(0, this.#taken));
      this.#taken = 0;
    }
    if (stream === undefined) return;
    stream.taken += bytes;
    if (stream.taken > ourWindow / 2) {
      this.#write(windowUpdate(id, stream.taken));
      stream.taken = 0;
    }
  }

  #end(id: number, stream: Stream | undefined, resetCode?: number): void {
    this.#streams.delete(id);
    stream?.listener.end(stream.status, resetCode);
  }

  #settings(payload: Buffer): void {
    for (let at = 0; at < payload.length; at += 6) {
      if (payload.readUInt16BE(at) !== initialWindowSetting) continue;
      const window = payload.readUInt32BE(at + 2);
      for (const stream of this.#streams.values()) stream.sendWindow += window - this.#initialStreamWindow;
      this.#initialStreamWindow = window;
    }
    this.#write(frame(frameTypes.settings, flags.ack, 0, Buffer.alloc(0)));
    this.#sendHeld();
  }

  #fail(error: Error): void {
    if (this.#gone !== undefined) return;
    this.#gone = error;
    this.#socket.destroy();
    for (const { listener } of this.#streams.values()) listener.fail(error);
    this.#streams.clear();
  }
}

export function windowUpdate(id: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(frameTypes.windowUpdate, 0, id, payload);
}

export function frame(type: number, flag: number, id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeadBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flag;
  bytes.writeUInt32BE(id, 5);
  bytes.set(payload, frameHeadBytes);
  return bytes;
}
