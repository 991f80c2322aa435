import { connect } from "node:net";
import { constantHeaders, HeaderReader } from "../drivers/hpack.ts";
import {
  defaultWindow,
  flags,
  frame,
  frameHeadBytes,
  frameTypes,
  initialWindowSetting,
  windowUpdate,
} from "../drivers/http2-connection.ts";
import { type DownloadReader, silenceMs, sink } from "./reader.ts";

const maxFrameSetting = 5;
/** The maximum, more than a file: the server never waits for a window. */
const window = 2 ** 31 - 1;
const maxFrameBytes = 2 ** 24 - 1;
const stream = 1;

export const readHttp2: DownloadReader = ({ port, path, bytes }, onBytes) => {
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  const frames = new FrameSplitter();
  const headers = new HeaderReader();
  let left = bytes;
  const fail = (why: string) => void socket.destroy(new Error(why));

  const onFrame = (type: number, flag: number, payload: Buffer) => {
    if (type === frameTypes.settings && (flag & flags.ack) === 0) {
      socket.write(frame(frameTypes.settings, flags.ack, 0, Buffer.alloc(0)));
    } else if (type === frameTypes.ping && (flag & flags.ack) === 0) {
      socket.write(frame(frameTypes.ping, flags.ack, 0, payload));
    } else if (type === frameTypes.headers) {
      const status = headers.find(payload, ":status");
      if (status !== "200") fail(`status ${status}`);
    } else if (type === frameTypes.reset || type === frameTypes.goAway) {
      fail(`the server ended the stream with a frame of type ${type}`);
    }
  };
  const onData = (length: number, isLast: boolean) => {
    left -= length;
    onBytes(length);
    if (left === 0) stop();
    else if (isLast) fail(`${left} of ${bytes} bytes are missing`);
  };
  const read = (length: number): boolean => {
    frames.split(sink.subarray(0, length), onData, onFrame);
    return true;
  };
  const socket = connect({ port, host: "127.0.0.1", onread: { buffer: sink, callback: read } });
  const stop = () => {
    resolve();
    socket.destroy();
  };
  socket.setTimeout(silenceMs, () => fail("the server has stopped sending"));
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("the server closed the connection")));
  socket.write(opening(port, path));
  socket.resume();
  return { done, stop };
};

function opening(port: number, path: string): Buffer {
  const settings = Buffer.alloc(12);
  settings.writeUInt16BE(initialWindowSetting);
  settings.writeUInt32BE(window, 2);
  settings.writeUInt16BE(maxFrameSetting, 6);
  settings.writeUInt32BE(maxFrameBytes, 8);
  const { first } = constantHeaders([
    [":method", "GET"],
    [":scheme", "http"],
    [":authority", `127.0.0.1:${port}`],
    [":path", path],
  ]);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(frameTypes.settings, 0, 0, settings),
    windowUpdate(0, window - defaultWindow),
    frame(frameTypes.headers, flags.endHeaders | flags.endStream, stream, first),
  ]);
}

type OnData = (bytes: number, isLast: boolean) => void;
type OnFrame = (type: number, flag: number, payload: Buffer) => void;

/** Splits a byte stream into frames, without assembling those of data. */
export class FrameSplitter {
  readonly #head = Buffer.alloc(frameHeadBytes);
  #headBytes = 0;
  #left = 0;
  readonly #payload: Buffer[] = [];

  split(chunk: Buffer, onData: OnData, onFrame: OnFrame): void {
    for (let at = 0; at < chunk.length || this.#isWhole(); ) {
      if (this.#headBytes < frameHeadBytes) {
        const taken = chunk.copy(this.#head, this.#headBytes, at);
        this.#headBytes += taken;
        at += taken;
        if (this.#headBytes === frameHeadBytes) this.#left = this.#head.readUIntBE(0, 3);
        continue;
      }
      const taken = Math.min(this.#left, chunk.length - at);
      this.#left -= taken;
      const type = this.#head[3]!;
      const flag = this.#head[4]!;
      if (type === frameTypes.data) {
        onData(taken, this.#left === 0 && (flag & flags.endStream) !== 0);
      } else {
        this.#payload.push(Buffer.from(chunk.subarray(at, at + taken)));
        if (this.#left === 0) onFrame(type, flag, Buffer.concat(this.#payload.splice(0)));
      }
      at += taken;
      if (this.#left === 0) this.#headBytes = 0;
    }
  }

  /** A frame without a payload is complete with its head. */
  #isWhole(): boolean {
    return this.#headBytes === frameHeadBytes && this.#left === 0;
  }
}
