import { once } from "node:events";
import { Agent, request as http1Request, type IncomingHttpHeaders } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders as Http2Headers,
} from "node:http2";
import type { Readable, Writable } from "node:stream";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { serviceName } from "./rpc-service.ts";

/** A request as sent on the wire. */
export interface RawRequest {
  /** Name of a method, or a path. */
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Each chunk is written separately. */
  readonly body: readonly Uint8Array[];
}

/** A whole response. */
export interface RawAnswer {
  readonly httpStatus: number;
  readonly headers: Http2Headers | IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: Http2Headers | NodeJS.Dict<string>;
}

/** Sends requests and resolves with whole responses. */
export interface RawClient extends Disposable {
  send(request: RawRequest): Promise<RawAnswer>;
}

export function pathOf(method: string): string {
  return method.startsWith("/") ? method : `/${serviceName}/${method}`;
}

export function http1Client(url: string): RawClient {
  const agent = new Agent({ keepAlive: true });
  return {
    async send({ method, headers, body }) {
      const request = http1Request(`${url}${pathOf(method)}`, { agent, method: "POST", headers });
      const [[response]] = await Promise.all([once(request, "response"), writeAll(request, body)]);
      const answer = await collected(response);
      const { statusCode, headers: received, trailers } = response;
      return { httpStatus: statusCode, headers: received, body: answer, trailers };
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

export function http2Client(url: string): RawClient {
  const session = connect(url);
  return {
    send: (request) => answerOf(begin(session, request.method, request.headers), request.body),
    [Symbol.dispose]: () => session.destroy(),
  };
}

/** Begins a gRPC request whose body the test writes. */
export function begin(
  session: ClientHttp2Session,
  method: string,
  headers: Readonly<Record<string, string>> = grpcHeaders,
): ClientHttp2Stream {
  return session.request({ ":method": "POST", ":path": pathOf(method), ...headers }, { endStream: false });
}

export const grpcHeaders = { "content-type": "application/grpc", te: "trailers" } as const;

/**
 * Writes the body, if there is one, and resolves with the response. Rejects when the response is incomplete.
 *
 * @param mayRead resolves when reading of the response may begin
 */
export async function answerOf(
  stream: ClientHttp2Stream,
  body?: readonly Uint8Array[],
  mayRead: Promise<unknown> = Promise.resolve(),
): Promise<RawAnswer> {
  let headers: Http2Headers = {};
  let trailers: Http2Headers = {};
  stream.on("response", (received) => {
    headers = received;
  });
  stream.on("trailers", (received) => {
    trailers = received;
  });
  const [bytes] = await Promise.all([mayRead.then(() => collected(stream)), body && writeAll(stream, body)]);
  if (headers[":status"] === undefined)
    throw new Error(`no answer; the stream was reset with ${stream.rstCode}`);
  return { httpStatus: Number(headers[":status"]), headers, body: bytes, trailers };
}

async function collected(readable: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  readable.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve, reject) => readable.once("end", resolve).once("error", reject));
  return Buffer.concat(chunks);
}

/** Returns silently when the server stops reading. */
async function writeAll(writable: Writable, body: readonly Uint8Array[]): Promise<void> {
  writable.on("error", () => {});
  for (const chunk of body) {
    if (writable.destroyed) return;
    await new Promise<void>((resolve) => writable.write(chunk, () => resolve()));
  }
  writable.end();
}

/** A gRPC message with its head. */
export function envelope(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The gRPC messages of a body, decompressed. */
export function messagesIn(body: Buffer, encoding = "identity"): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (end > body.length) throw new Error("the answer ends in the middle of a message");
    const message = body.subarray(at + 5, end);
    messages.push(body[at] === 1 ? decompressed(message, encoding) : message);
    at = end;
  }
  return messages;
}

export function decompressed(bytes: Buffer, encoding: unknown): Buffer {
  if (encoding === "gzip") return gunzipSync(bytes);
  if (encoding === "br") return brotliDecompressSync(bytes);
  return bytes;
}

/** Status of a gRPC response, from its trailers or, without any message, from its only block of headers. */
export interface GrpcEnd {
  readonly code: number;
  readonly message: string;
  readonly status: Status | undefined;
}

export function grpcEnd({ headers, trailers }: RawAnswer): GrpcEnd {
  const end: Http2Headers = "grpc-status" in trailers ? trailers : headers;
  const details = end["grpc-status-details-bin"];
  return {
    code: Number(end["grpc-status"]),
    message: decodeURIComponent(String(end["grpc-message"] ?? "")),
    status: details === undefined ? undefined : fromBinary(StatusSchema, base64Decode(String(details))),
  };
}
