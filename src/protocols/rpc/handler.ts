import {
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  cors as connectCors,
  createConnectRouter,
  createContextValues,
} from "@connectrpc/connect";
import { createMethodUrl, type UniversalHandler } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { Health as HealthService } from "../../../gen/grpc/health/v1/health_pb.ts";
import { type CallObserver, type CallOrigin, type Protocol, requestIdFrom } from "../../calls/call.ts";
import type { ClientAddressOf } from "../../calls/client-address.ts";
import { HeaderCredentials } from "../../calls/credentials.ts";
import { connectionOf, discardBody, type HttpRequest, type HttpResponse } from "../../calls/http.ts";
import { limitsOwnRequest } from "../../calls/open-stream.ts";
import { notSniffed } from "../../calls/page-headers.ts";
import {
  asServiceError,
  type CallPipeline,
  methodsOf,
  type Operation,
  operationNameOf,
  type ServerStreamEntry,
  type StreamEntry,
} from "../../calls/pipeline.ts";
import { callHeaders, type ProtocolHandler } from "../../calls/protocol-handler.ts";
import type { ShareHolders } from "../../calls/share-holders.ts";
import { type ErrorKind, ServiceError } from "../../domain/errors.ts";
import type { Health } from "../../telemetry/health.ts";
import { protocolByName, type RequestInfo, RpcCall, requestInfoKey } from "./call.ts";
import { dropEndlessDeadline } from "./deadline.ts";
import { connectErrorOf, jsonOptions, withGrpcSpelling } from "./errors.ts";
import { encodedEnvelope, envelope as envelopeOf } from "./fast-lane/envelope.ts";
import { openFastLane } from "./fast-lane/fast-lane.ts";
import { discardRest } from "./fast-lane/http2-stream.ts";
import type {
  LaneMethod,
  LaneServerStreamMethod,
  LaneStreamMethod,
  ServeByRuntime,
} from "./fast-lane/lane.ts";
import { asText, binaryTypeOf, decoded } from "./grpc-web-text.ts";
import { healthService, healthWatch } from "./health.ts";
import { mediaTypeOf } from "./media-type.ts";
import { withKnownFlags } from "./message-flags.ts";
import { placesIn, type TakePlace } from "./open-streams.ts";
import { defaultPatience, type Patience } from "./patience.ts";
import { reflection, reflectionMethods } from "./reflection.ts";
import { requestGate } from "./request-gate.ts";
import { serveAnswers, serveStream, withPartsTaken } from "./runtime-stream.ts";
import { unimplementedHandlers } from "./unimplemented.ts";

export interface RpcOptions {
  readonly pipeline: CallPipeline;
  readonly health: Health;
  /** Streams that need no credentials, `Health/Watch` and server reflection, by address. */
  readonly strangers: ShareHolders;
  readonly clientAddressOf: ClientAddressOf;
  /** Largest request message, in bytes, before and after decompression; a larger one is RESOURCE_EXHAUSTED. */
  readonly maxBodyBytes: number;
  /** Whether plain calls take the fast lane, see `fast-lane/`; otherwise Connect's runtime serves every call. */
  readonly fastLane: boolean;
  /** With streams of anybody; for streams of authenticated callers, before their first request only. */
  readonly patience?: Patience | undefined;
  /** Aborts when the time for calls in flight is over: they end with UNAVAILABLE. */
  readonly callsMustEnd: AbortSignal;
  /** Aborts when streams, which would not end by themselves, must end. */
  readonly streamsMustEnd: AbortSignal;
  /** Called for requests that never become a call of an operation; the pipeline calls it for the others. */
  readonly observe: CallObserver;
  /** Adds methods that are no operations; Connect's runtime serves them. */
  readonly routes?: ((router: ConnectRouter) => void) | undefined;
}

/** Every operation of the pipeline, `grpc.health.v1` and server reflection over gRPC, gRPC-Web and Connect. */
export function rpcHandler(options: RpcOptions): ProtocolHandler {
  const { pipeline, observe } = options;
  const routerOptions: ConnectRouterOptions = {
    acceptCompression: [compressionGzip, compressionBrotli],
    jsonOptions,
    readMaxBytes: options.maxBodyBytes,
    shutdownSignal: options.callsMustEnd,
  };
  const takePlace = placesIn(options.strangers, options.clientAddressOf, observe);
  const streams = streamRows(options, takePlace);
  const serverStreams = serverStreamRows(options, takePlace);
  const router = createConnectRouter({ ...routerOptions, requestGate: requestGate(serverStreams) });
  addRoutes(router, options, streams, serverStreams);
  const served = new Map<string, ServeByRuntime>();
  const ours = new Set(methodsOf(pipeline.operations));
  for (const handler of router.handlers) {
    const recordRefusal = ours.has(handler.method)
      ? refusalRecorder(operationNameOf(handler.method), observe)
      : undefined;
    served.set(handler.requestPath, (req, res, body) => void serve(handler, req, res, recordRefusal, body));
  }
  const fastLane = options.fastLane ? fastLaneFor(options, streams, serverStreams, served) : undefined;
  const services = new Set(router.handlers.map(({ service }) => service.typeName));
  const unimplemented = unimplementedHandlers(routerOptions, services);
  const recordUnimplemented = refusalRecorder("unknown", observe, "operation_not_found");
  return {
    name: "rpc",
    headers: {
      request: [...connectCors.allowedHeaders, ...callHeaders.request],
      response: [...connectCors.exposedHeaders, ...callHeaders.response, "Grpc-Retry-Pushback-Ms"],
    },
    takes(request, path) {
      return served.has(path) || unimplemented(request, path) !== undefined;
    },
    serve(req, res, path) {
      const serveByRuntime = served.get(path);
      if (serveByRuntime === undefined) {
        void serve(unimplemented(req, path)!, req, res, recordUnimplemented);
      } else if (fastLane?.takeRequest(path, req, res) !== true) {
        serveByRuntime(req, res);
      }
    },
    takeStream: fastLane?.takeStream,
    takenStreams: fastLane?.takenStreams,
  };
}

/** A method with many requests, and how they are answered. */
interface StreamRow extends Pick<Operation, "encode"> {
  readonly method: DescMethodBiDiStreaming;
  readonly run: StreamEntry;
  readonly patience: Patience;
}

function streamRows(
  { pipeline, patience = defaultPatience }: RpcOptions,
  takePlace: TakePlace,
): readonly StreamRow[] {
  const { streams } = pipeline.operations;
  const services = new Set(methodsOf(pipeline.operations).map(({ parent }) => parent)).add(HealthService);
  const { firstMs } = patience;
  const reflect = reflection(services, takePlace);
  return [
    ...streams.map((row) => ({ ...row, run: pipeline.streamEntry(row), patience: { firstMs } })),
    ...reflectionMethods.map((method) => ({ method, run: reflect(method), patience })),
  ];
}

/** A method with many answers, and how they are made. */
interface ServerStreamRow extends Pick<Operation, "encode"> {
  readonly method: DescMethodServerStreaming;
  readonly run: ServerStreamEntry;
}

function serverStreamRows(
  { pipeline, health, streamsMustEnd }: RpcOptions,
  takePlace: TakePlace,
): readonly ServerStreamRow[] {
  return [
    ...pipeline.operations.serverStreams.map((row) => ({
      ...row,
      run: pipeline.serverStreamEntry(row, streamsMustEnd),
    })),
    { method: HealthService.method.watch, run: healthWatch(health, takePlace, streamsMustEnd) },
  ];
}

function fastLaneFor(
  options: RpcOptions,
  streams: readonly StreamRow[],
  serverStreams: readonly ServerStreamRow[],
  served: ReadonlyMap<string, ServeByRuntime>,
) {
  const { pipeline, observe, maxBodyBytes, callsMustEnd, streamsMustEnd } = options;
  const methodOf = <Run>(
    { method, isRoutine = false, encode }: Pick<Operation, "isRoutine" | "encode"> & { method: DescMethod },
    run: Run,
  ): LaneMethod<Run> => {
    const recordRefusal = refusalRecorder(operationNameOf(method), observe);
    const envelope =
      encode === undefined
        ? (message: Message) => envelopeOf(toBinary(method.output, message))
        : (message: Message) => encodedEnvelope(message, encode);
    const serveByRuntime = served.get(pathTo(method))!;
    return { method, isRoutine, run, envelope, serveByRuntime, recordRefusal };
  };
  return openFastLane({
    unary: new Map(
      pipeline.operations.unary.map((row) => [pathTo(row.method), methodOf(row, pipeline.entry(row))]),
    ),
    streams: new Map<string, LaneStreamMethod | LaneServerStreamMethod>([
      ...streams.map((row) => [pathTo(row.method), { ...row, ...methodOf(row, row.run) }] as const),
      ...serverStreams.map((row) => [pathTo(row.method), methodOf(row, row.run)] as const),
    ]),
    maxMessageBytes: maxBodyBytes,
    callsMustEnd,
    streamsMustEnd,
  });
}

function pathTo(method: DescMethod): string {
  return createMethodUrl("/", method);
}

/** Records a request that ended before it became a call. */
type RecordRefusal = (call: CallOrigin, durationMs: number, outcome?: ErrorKind) => void;

function refusalRecorder(
  operation: string,
  observe: CallObserver,
  defaultOutcome: ErrorKind = "invalid_request",
): RecordRefusal {
  return (call, durationMs, outcome = defaultOutcome) => observe({ call, operation, outcome, durationMs });
}

function addRoutes(
  router: ConnectRouter,
  options: RpcOptions,
  streams: readonly StreamRow[],
  serverStreams: readonly ServerStreamRow[],
): void {
  const { pipeline, health, streamsMustEnd } = options;
  for (const row of pipeline.operations.unary) {
    const run = pipeline.entry(row);
    router.rpc(row.method, async (request, context) => {
      const call = new RpcCall(context);
      try {
        return await run(request, call);
      } catch (reason) {
        throw connectErrorOf(asServiceError(reason, call));
      }
    });
  }
  for (const { method, run, patience } of streams) {
    router.rpc(method, (requests, context) => serveStream(run, requests, context, streamsMustEnd, patience));
  }
  for (const { method } of serverStreams) router.rpc(method, serveAnswers);
  const { check, list } = healthService(health);
  router.rpc(HealthService.method.check, check).rpc(HealthService.method.list, list);
  options.routes?.(router);
}

/**
 * Serves a request with Connect's runtime as `connectNodeAdapter` does, with these differences: a `Host` that does not
 * form a URL is answered with 400 instead of thrown, a caller that goes away is not logged to the console, a refused body
 * does not close the connection before the answer is sent, content types may have parameters, the text form of gRPC-Web is
 * understood, and messages with unknown flags are refused.
 *
 * @param bodyFromStart replaces the request's own body, part of which has been read
 */
async function serve(
  handler: UniversalHandler,
  req: HttpRequest,
  res: HttpResponse,
  recordRefusal: RecordRefusal | undefined,
  bodyFromStart?: AsyncIterable<Uint8Array>,
): Promise<void> {
  const startedAt = performance.now();
  const requestId = requestIdFrom(req.headers["x-request-id"]);
  const credentials = new HeaderCredentials(req.headers);
  const info: RequestInfo = {
    requestId,
    connection: connectionOf(req),
    credentials,
    headers: req.headers,
    isCall: false,
  };
  res.once("close", () => {
    const { connection, headers, isCall, stream } = info;
    if (isCall) stream?.end(new ServiceError("downlease.call.canceled"));
    else stream?.leave();
    const origin = { protocol: protocolOf(req), requestId, connection, headers };
    if (!isCall) recordRefusal?.(origin, performance.now() - startedAt);
  });
  try {
    res.setHeader("x-request-id", requestId);
    if (protocolOf(req) !== "grpc") res.setHeader(...notSniffed);
    const values = createContextValues().set(requestInfoKey, info);
    const request = universalRequestFromNodeRequest(req, res, undefined, values);
    dropEndlessDeadline(request.header);
    const sentType = mediaTypeOf(req.headers["content-type"]);
    const binaryType = binaryTypeOf(sentType);
    const mediaType = binaryType ?? sentType;
    if (mediaType !== "") request.header.set("content-type", mediaType);
    const sent = bodyFromStart ?? req.iterator({ destroyOnReturn: false });
    const body = withKnownFlags(binaryType === undefined ? sent : decoded(sent), mediaType);
    discardRestOnceAnswered(req, res);
    if (handler.method.methodKind === "server_streaming") endWithCaller(req, res);
    // A stream of requests has time limits of its own.
    if ("stream" in req && handler.method.methodKind === "bidi_streaming") limitsOwnRequest(req.stream);
    const result = await handler({ ...request, body });
    const goesOn = handler.method.methodKind !== "unary";
    const answer = withGrpcSpelling(goesOn ? withPartsTaken(result, res) : result);
    await universalResponseToNodeResponse(binaryType === undefined ? answer : asText(answer), res);
  } catch {
    if (res.headersSent) {
      res.destroy();
    } else {
      res.writeHead(400);
      res.end();
    }
  }
}

/**
 * Drops what is left of a request once it is answered. Over HTTP/2 its caller may not go on sending; there, the response
 * has no event for the end of the answer, but its stream has.
 */
function discardRestOnceAnswered(request: HttpRequest, response: HttpResponse): void {
  if ("stream" in request) {
    const { stream } = request;
    stream.once("finish", () => {
      discardBody(request);
      discardRest(stream);
    });
  } else {
    response.once("finish", () => discardBody(request));
  }
}

/**
 * Ends a stream of answers over HTTP/1 once its caller has ended its side of the connection: it would go on until the
 * next answer is refused, and there may never be one.
 */
function endWithCaller(request: HttpRequest, response: HttpResponse): void {
  if ("stream" in request) return;
  const { socket } = request;
  const end = () => void response.destroy();
  socket.once("end", end);
  response.once("close", () => socket.off("end", end));
}

function protocolOf({ headers }: HttpRequest): Protocol {
  const [, name] = /^application\/(grpc-web|grpc)/i.exec(headers["content-type"] ?? "") ?? [];
  return protocolByName(name?.toLowerCase());
}
