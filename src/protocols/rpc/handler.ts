import { type DescMethod, type Message, toBinary } from "@bufbuild/protobuf";
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
import { HeaderCredentials } from "../../calls/credentials.ts";
import { connectionOf, discardBody, type HttpRequest, type HttpResponse, pathOf } from "../../calls/http.ts";
import { notSniffed } from "../../calls/page-headers.ts";
import { asServiceError, type CallPipeline, type Operation, operationNameOf } from "../../calls/pipeline.ts";
import { callHeaders, type ProtocolHandler } from "../../calls/protocol-handler.ts";
import type { ErrorKind } from "../../domain/errors.ts";
import type { Health } from "../../telemetry/health.ts";
import { type Origin, originKey, protocolNamed, RpcCall } from "./call.ts";
import { dropEndlessDeadline } from "./deadline.ts";
import { connectErrorOf, jsonOptions, withGrpcSpelling } from "./errors.ts";
import { encodedEnvelope, envelope as envelopeOf } from "./fast-lane/envelope.ts";
import { openFastLane } from "./fast-lane/fast-lane.ts";
import type { LaneMethod, ServeByRuntime } from "./fast-lane/lane.ts";
import { healthService } from "./health.ts";
import { addReflection } from "./reflection.ts";
import { serveStream } from "./runtime-stream.ts";
import { unimplementedHandlers } from "./unimplemented.ts";

export interface RpcOptions {
  readonly pipeline: CallPipeline;
  readonly health: Health;
  /** Largest request message, in bytes, before and after decompression; a larger one is RESOURCE_EXHAUSTED. */
  readonly maxBodyBytes: number;
  /** Whether plain calls take the short way, see `fast-lane/`; without it Connect's runtime serves all. */
  readonly fastLane: boolean;
  /** How long a caller may take to send a unary request on the fast lane, in milliseconds. */
  readonly readMs?: number | undefined;
  /** Aborted when calls in flight can't be waited for any longer: they end with UNAVAILABLE. */
  readonly callsMustEnd: AbortSignal;
  /** Aborted when streams, which would not end by themselves, must end. */
  readonly streamsMustEnd: AbortSignal;
  /** Called for requests that never become a call of an operation; the pipeline calls it for the others. */
  readonly observe: CallObserver;
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
  const router = createConnectRouter(routerOptions);
  addRoutes(router, options);
  const served = new Map<string, ServeByRuntime>();
  for (const handler of router.handlers) {
    const { unary, streams } = pipeline.operations;
    const isOurs = [...unary, ...streams].some(({ method }) => method === handler.method);
    const tellRefusal = isOurs ? refusalTeller(operationNameOf(handler.method), observe) : undefined;
    served.set(handler.requestPath, (req, res, body) => void serve(handler, req, res, tellRefusal, body));
  }
  const fastLane = options.fastLane ? fastLaneFor(options, served) : undefined;
  const services = new Set(router.handlers.map(({ service }) => service.typeName));
  const unimplemented = unimplementedHandlers(routerOptions, services);
  const tellUnimplemented = refusalTeller("unknown", observe, "operation_not_found");
  return {
    name: "rpc",
    headers: {
      request: [...connectCors.allowedHeaders, ...callHeaders.request],
      response: [...connectCors.exposedHeaders, ...callHeaders.response, "Grpc-Retry-Pushback-Ms"],
    },
    takes(request) {
      const path = pathOf(request);
      return served.has(path) || unimplemented(request, path) !== undefined;
    },
    serve(req, res) {
      const path = pathOf(req);
      const serveByRuntime = served.get(path);
      if (serveByRuntime === undefined) {
        void serve(unimplemented(req, path)!, req, res, tellUnimplemented);
      } else if (fastLane?.takeRequest(path, req, res) !== true) {
        serveByRuntime(req, res);
      }
    },
    takeStream: fastLane?.takeStream,
  };
}

function fastLaneFor(options: RpcOptions, served: ReadonlyMap<string, ServeByRuntime>) {
  const { pipeline, observe, maxBodyBytes, readMs, callsMustEnd, streamsMustEnd } = options;
  const { unary, streams } = pipeline.operations;
  const rowOf = <Run>(
    { method, isRoutine = false, encode }: Pick<Operation, "isRoutine" | "encode"> & { method: DescMethod },
    run: Run,
  ): [path: string, row: LaneMethod<Run>] => {
    const path = createMethodUrl("/", method);
    const tellRefusal = refusalTeller(operationNameOf(method), observe);
    const envelope =
      encode === undefined
        ? (message: Message) => envelopeOf(toBinary(method.output, message))
        : (message: Message) => encodedEnvelope(message, encode);
    return [path, { method, isRoutine, run, envelope, serveByRuntime: served.get(path)!, tellRefusal }];
  };
  return openFastLane({
    unary: new Map(unary.map((row) => rowOf(row, pipeline.entry(row)))),
    streams: new Map(streams.map((row) => rowOf(row, pipeline.streamEntry(row)))),
    maxMessageBytes: maxBodyBytes,
    readMs,
    shutdownSignal: callsMustEnd,
    streamsSignal: streamsMustEnd,
  });
}

/** Tells of a request that ended without having become a call. */
type TellRefusal = (origin: CallOrigin, durationMs: number, outcome?: ErrorKind) => void;

function refusalTeller(
  operation: string,
  observe: CallObserver,
  usual: ErrorKind = "invalid_request",
): TellRefusal {
  return (call, durationMs, outcome = usual) => observe({ call, operation, outcome, durationMs });
}

function addRoutes(router: ConnectRouter, options: RpcOptions): void {
  const { pipeline, health, streamsMustEnd: streamsSignal } = options;
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
  for (const row of pipeline.operations.streams) {
    const converse = pipeline.streamEntry(row);
    router.rpc(row.method, (requests, context) => serveStream(converse, requests, context, streamsSignal));
  }
  router.service(HealthService, healthService(health, streamsSignal));
  addReflection(router, streamsSignal);
}

/**
 * What `connectNodeAdapter` does, except that a `Host` which makes no URL is not thrown at the server, a caller
 * that goes away is not an error on the console, and a body that is refused does not take the connection, and
 * with it the answer, down.
 *
 * @param given takes the place of the request's own body, of which something has been read already
 */
async function serve(
  handler: UniversalHandler,
  req: HttpRequest,
  res: HttpResponse,
  tellRefusal: TellRefusal | undefined,
  given?: AsyncIterable<Uint8Array>,
): Promise<void> {
  const startedAt = performance.now();
  const requestId = requestIdFrom(req.headers["x-request-id"]);
  const credentials = new HeaderCredentials(req.headers);
  const origin: Origin = {
    requestId,
    connection: connectionOf(req),
    credentials,
    headers: req.headers,
    isCall: false,
  };
  if (tellRefusal !== undefined) {
    res.once("close", () => {
      const { connection, isCall } = origin;
      if (!isCall)
        tellRefusal({ protocol: protocolOf(req), requestId, connection }, performance.now() - startedAt);
    });
  }
  try {
    res.setHeader("x-request-id", requestId);
    if (protocolOf(req) !== "grpc") res.setHeader(...notSniffed);
    const values = createContextValues().set(originKey, origin);
    const request = universalRequestFromNodeRequest(req, res, undefined, values);
    dropEndlessDeadline(request.header);
    const body = given ?? req.iterator({ destroyOnReturn: false });
    res.once("finish", () => discardBody(req));
    // A stream of requests may be silent for as long as its caller likes.
    if ("stream" in req && handler.method.methodKind === "bidi_streaming") req.stream.setTimeout(0);
    const response = await handler({ ...request, body });
    await universalResponseToNodeResponse(withGrpcSpelling(response), res);
  } catch {
    if (res.headersSent) {
      res.destroy();
    } else {
      res.writeHead(400);
      res.end();
    }
  }
}

function protocolOf({ headers }: HttpRequest): Protocol {
  const [, name] = /^application\/(grpc-web|grpc)/i.exec(headers["content-type"] ?? "") ?? [];
  return protocolNamed(name?.toLowerCase());
}
