import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { eventually } from "./eventually.ts";

/** A connection whose bytes a test writes and reads. */
export interface RawConnection extends Disposable {
  readonly socket: Socket;
  /** The bytes received so far, as one character each. */
  readonly received: string;
  /** Resolves when `text` has been received. */
  receives(text: string): Promise<void>;
  /** Resolves with all that was received when the other side has closed the connection, even by a reset. */
  readonly closed: Promise<string>;
}

/** @param tls to speak TLS, offering these protocols by ALPN, or none */
export async function rawConnection(
  port: number,
  tls?: { readonly ca: Buffer; readonly ALPNProtocols?: string[] },
): Promise<RawConnection> {
  const host = "127.0.0.1";
  const socket =
    tls === undefined ? connect({ port, host }) : connectTls({ port, host, servername: "localhost", ...tls });
  let received = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    received += text;
  });
  const closed = new Promise<string>((resolve) => socket.once("close", () => resolve(received)));
  await once(socket, tls === undefined ? "connect" : "secureConnect");
  // A reset is one of the ways in which the other side closes.
  socket.on("error", () => {});
  return {
    socket,
    get received() {
      return received;
    },
    receives: async (text) => {
      await eventually(`"${text}" in "${received}"`, () => received.includes(text));
    },
    closed,
    [Symbol.dispose]: () => socket.destroy(),
  };
}

/** A frame of HTTP/2 (RFC 9113, section 4.1). */
export function frame(type: number, flags: number, stream: number, payload: string): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return head.toString("latin1") + payload;
}

/** The frames that tests have to do with, by type. */
export const frameType = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

const endStream = 1;
const endHeaders = 4;

/** What an HTTP/2 client sends first, with its settings if it has any. */
export const http2HelloWith = (settings: string) =>
  `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${frame(frameType.settings, 0, 0, settings)}`;

export const http2Hello = http2HelloWith("");

/** `GET /` on the given stream; without `end` its body is still to come. */
export function http2Get(stream: number, { end = true } = {}): string {
  // HPACK: :method GET, :scheme http, :path /, :authority "a".
  return frame(frameType.headers, end ? endStream | endHeaders : endHeaders, stream, "\x82\x86\x84\x41\x01a");
}

export type RawHeader = readonly [name: string, value: string];

/** Headers of a request, valid or not; without `end` its body is still to come. */
export function http2Headers(stream: number, pairs: readonly RawHeader[], { end = false } = {}): string {
  const flags = end ? endStream | endHeaders : endHeaders;
  return frame(frameType.headers, flags, stream, headerBlock(pairs));
}

export function http2Data(stream: number, text: string, { end = true } = {}): string {
  return frame(frameType.data, end ? endStream : 0, stream, text);
}

/** Encoded with HPACK as literals that are not added to its table. */
export function headerBlock(pairs: readonly RawHeader[]): string {
  return pairs.map(([name, value]) => `\x00${hpackText(name)}${hpackText(value)}`).join("");
}

/** A text without Huffman's code, after its length (RFC 7541, section 5). */
export function hpackText(text: string): string {
  if (text.length < 127) return String.fromCharCode(text.length) + text;
  let length = "\x7f";
  let rest = text.length - 127;
  for (; rest >= 128; rest >>= 7) length += String.fromCharCode((rest & 127) | 128);
  return length + String.fromCharCode(rest) + text;
}

/** The types of the frames in what a server sent, for example 7 for GOAWAY. */
export function frameTypes(received: string): number[] {
  const types: number[] = [];
  const bytes = Buffer.from(received, "latin1");
  for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    types.push(bytes.readUInt8(at + 3));
  return types;
}
