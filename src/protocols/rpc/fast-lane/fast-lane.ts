import type { IncomingHttpHeaders } from "node:http";
import type { IncomingHttpHeaders as Http2Headers } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import { createMethodSerializationLookup, type Serialization } from "@connectrpc/connect/protocol";
import type { Http2StreamHandler, HttpRequest, HttpResponse } from "../../../calls/http.ts";
import type { OpenStream } from "../../../calls/open-stream.ts";
import { Slots } from "../../../calls/slots.ts";
import { isEndless, parseConnectTimeoutMs, parseGrpcTimeoutMs } from "../deadline.ts";
import { jsonOptions } from "../errors.ts";
import { mediaTypeOf } from "../media-type.ts";
import { ConnectCall, type Representation } from "./connect-call.ts";
import { GrpcCall } from "./grpc-call.ts";
import { Http1Exchange, Http2Exchange } from "./http-exchange.ts";
import type { Lane, LaneCall, LaneMethod, LaneServerStreamMethod, LaneStreamMethod } from "./lane.ts";
import { ServerStreamCall } from "./server-stream-call.ts";
import { StreamCall } from "./stream-call.ts";

export interface FastLaneOptions {
  /** By path. */
  readonly unary: ReadonlyMap<string, LaneMethod>;
  readonly streams: ReadonlyMap<string, LaneStreamMethod | LaneServerStreamMethod>;
  /** Largest request message, in bytes. */
  readonly maxMessageBytes: number;
  /** Aborts when the time for calls in flight is over: they end with UNAVAILABLE. */
  readonly callsMustEnd: AbortSignal;
  /** Aborts as soon as streams must end; requests that have been read are still answered. */
  readonly streamsMustEnd: AbortSignal;
}

/**
 * The shortest way from a keep-alive to its operation: gRPC on bare HTTP/2 streams and Connect's unary protocol on
 * either HTTP version, without Connect's runtime. It serves plain requests and leaves everything else (compression,
 * other content types, unusual headers, malformed bodies) to that runtime.
 */
export interface FastLane {
  /** Serves an HTTP/2 stream; false when it does not. */
  readonly takeStream: Http2StreamHandler;
  /** The open streams among those that it has taken, and its calls over HTTP/1. */
  readonly takenStreams: Iterable<OpenStream>;
  /** Serves an HTTP/1 request for the path; false when it does not. */
  takeRequest(path: string, request: HttpRequest, response: HttpResponse): boolean;
}

/** How often streams are checked against the time limit for their first request. */
const sweepMs = 1000;

export function openFastLane(options: FastLaneOptions): FastLane {
  const { unary, streams, maxMessageBytes, callsMustEnd, streamsMustEnd } = options;
  const calls = new Slots<LaneCall>();
  const lane: Lane = { calls, maxMessageBytes };
  const representations = new Map<LaneMethod, (json: boolean) => Representation>();
  for (const method of unary.values())
    representations.set(method, representationsOf(method, maxMessageBytes));

  callsMustEnd.addEventListener("abort", () => {
    for (const call of calls) {
      // A server stream that has its request has been asked to end already, with its last answer.
      if (!(call instanceof ServerStreamCall) || call.isReading) call.abort("downlease.server.stopping");
    }
  });
  streamsMustEnd.addEventListener("abort", () => {
    for (const call of calls) if (call instanceof StreamCall) call.end("downlease.server.stopping");
  });
  setInterval(() => {
    const now = performance.now();
    for (const call of calls) if (call instanceof StreamCall) call.endIfSilent(now);
  }, sweepMs).unref();

  return {
    takenStreams: calls,
    takeStream(stream, headers, rawHeaders) {
      if (callsMustEnd.aborted) return false;
      const path = headers[":path"] ?? "";
      const method = unary.get(path);
      if (method === undefined) {
        const streamMethod = streams.get(path);
        if (streamMethod === undefined || !isPlainGrpc(headers)) return false;
        const deadline = deadlineOf(headers["grpc-timeout"], parseGrpcTimeoutMs);
        if (deadline === "odd" || streamsMustEnd.aborted) return false;
        const call =
          "patience" in streamMethod
            ? new StreamCall(lane, streamMethod, stream, headers)
            : new ServerStreamCall(lane, streamMethod, stream, headers);
        call.setDeadline(deadline);
        return true;
      }
      if (isPlainGrpc(headers)) {
        const deadline = deadlineOf(headers["grpc-timeout"], parseGrpcTimeoutMs);
        if (deadline === "odd") return false;
        new GrpcCall(lane, method, stream, headers, rawHeaders).setDeadline(deadline);
        return true;
      }
      const type = mediaTypeOf(headers["content-type"]);
      if (headers[":method"] !== "POST" || !isPlainConnect(headers, type)) return false;
      const deadline = deadlineOf(headers["connect-timeout-ms"], parseConnectTimeoutMs);
      if (deadline === "odd") return false;
      const representation = representations.get(method)!(type === "application/json");
      const exchange = new Http2Exchange(stream, headers, rawHeaders);
      new ConnectCall(lane, method, exchange, representation).setDeadline(deadline);
      return true;
    },

    takeRequest(path, request, response) {
      if (callsMustEnd.aborted) return false;
      const method = unary.get(path);
      if (method === undefined || "stream" in request || "stream" in response) return false;
      const { headers } = request;
      const type = mediaTypeOf(headers["content-type"]);
      if (request.method !== "POST" || !isPlainConnect(headers, type)) return false;
      const deadline = deadlineOf(headers["connect-timeout-ms"], parseConnectTimeoutMs);
      if (deadline === "odd") return false;
      const representation = representations.get(method)!(type === "application/json");
      const exchange = new Http1Exchange(request, response);
      new ConnectCall(lane, method, exchange, representation).setDeadline(deadline);
      return true;
    },
  };
}

function isPlainGrpc(headers: Http2Headers): boolean {
  const { "content-type": type, "grpc-encoding": encoding } = headers;
  return (
    isGrpc(mediaTypeOf(type)) &&
    headers.te === "trailers" &&
    headers[":method"] === "POST" &&
    (encoding === undefined || encoding === "identity") &&
    headers.expect === undefined
  );
}

function isGrpc(type: string): boolean {
  return type === "application/grpc" || type === "application/grpc+proto";
}

function isPlainConnect(headers: IncomingHttpHeaders, type: string): boolean {
  const { "connect-protocol-version": version } = headers;
  return (
    (type === "application/json" || type === "application/proto") &&
    headers["content-encoding"] === undefined &&
    (version === undefined || version === "1") &&
    headers.expect === undefined
  );
}

/** Milliseconds until the deadline; undefined when there is none, `odd` when Connect's runtime has to read the header. */
function deadlineOf(
  text: string | string[] | undefined,
  read: (text: string) => number,
): number | undefined | "odd" {
  if (text === undefined) return undefined;
  const timeoutMs = read(String(text));
  if (isEndless(timeoutMs)) return undefined;
  return timeoutMs >= 1 ? timeoutMs : "odd";
}

function representationsOf(
  { method }: LaneMethod,
  maxMessageBytes: number,
): (json: boolean) => Representation {
  const limits = { readMaxBytes: maxMessageBytes, writeMaxBytes: 0xffff_ffff };
  const lookup = createMethodSerializationLookup(method, undefined, jsonOptions, limits);
  const of = (contentType: Representation["contentType"], binary: boolean): Representation => ({
    contentType,
    request: lookup.getI(binary) as Serialization<Message>,
    response: lookup.getO(binary) as Serialization<Message>,
  });
  const json = of("application/json", false);
  const proto = of("application/proto", true);
  return (isJson) => (isJson ? json : proto);
}
