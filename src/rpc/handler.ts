import type { DescMethod } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  createContextValues,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { Health as HealthService } from "../../gen/grpc/health/v1/health_pb.ts";
import type { ErrorKind } from "../domain/errors.ts";
import { type CallObserver, type Door, requestIdFrom } from "../operations/call.ts";
import { asServiceError, type Corridor, operationNameOf } from "../operations/corridor.ts";
import type { HttpHandler, HttpRequest, HttpResponse } from "../operations/http.ts";
import type { Health } from "../telemetry/health.ts";
import { type Origin, originKey, RpcCall } from "./call.ts";
import { dropEndlessDeadline } from "./deadline.ts";
import { connectErrorOf, withGrpcSpelling } from "./errors.ts";
import { healthService } from "./health.ts";
import { addReflection } from "./reflection.ts";
import { unimplementedHandlers } from "./unimplemented.ts";

export interface RpcOptions {
  readonly corridor: Corridor;
  readonly health: Health;
  /** Largest request message, in bytes, before and after decompression; a larger one is RESOURCE_EXHAUSTED. */
  readonly maxBodyBytes: number;
  /** Aborted when calls under way can't be waited for any longer: they end with UNAVAILABLE. */
  readonly shutdownSignal: AbortSignal;
  /** Aborted as soon as streams that would not end by themselves are to end: health Watch and reflection. */
  readonly streamsSignal: AbortSignal;
  /** Told of requests that never become a call of an operation; the corridor tells of the others. */
  readonly observe: CallObserver;
  /** Answers what is no RPC. */
  readonly fallback: HttpHandler;
}

/**
 * Door 1: every operation of the corridor, `grpc.health.v1` and server reflection over gRPC, gRPC-Web and
 * Connect.
 */
export function rpcHandler(options: RpcOptions): HttpHandler {
  const { corridor, observe } = options;
  const routerOptions: ConnectRouterOptions = {
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: options.maxBodyBytes,
    shutdownSignal: options.shutdownSignal,
  };
  const router = createConnectRouter(routerOptions);
  addRoutes(router, options);
  const refusals = new Map<DescMethod, TellRefusal>();
  for (const { method } of corridor.operations) {
    refusals.set(method, refusal(operationNameOf(method), "invalid_request", observe));
  }
  const served = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const services = new Set(router.handlers.map(({ service }) => service.typeName));
  const unimplemented = unimplementedHandlers(routerOptions, services);
  const tellUnimplemented = refusal("unknown", "operation_not_found", observe);
  return (req, res) => {
    const [path = ""] = (req.url ?? "").split("?", 1);
    const handler = served.get(path);
    if (handler !== undefined) {
      void serve(handler, req, res, refusals.get(handler.method));
      return;
    }
    const stranger = unimplemented(req, path);
    if (stranger === undefined) options.fallback(req, res);
    else void serve(stranger, req, res, tellUnimplemented);
  };
}

/** Tells of a request that was answered without becoming a call. */
type TellRefusal = (door: Door, origin: Origin, durationMs: number) => void;

function refusal(operation: string, outcome: ErrorKind, observe: CallObserver): TellRefusal {
  return (door, { requestId, peer }, durationMs) =>
    observe({ call: { door, requestId, peer }, operation, outcome, durationMs });
}

function addRoutes(router: ConnectRouter, options: RpcOptions): void {
  const { corridor, health, shutdownSignal, streamsSignal } = options;
  for (const row of corridor.operations) {
    const run = corridor.entry(row);
    router.rpc(row.method, async (request, context) => {
      const call = new RpcCall(context, shutdownSignal);
      try {
        return await run(request, call);
      } catch (reason) {
        throw connectErrorOf(asServiceError(reason, call));
      }
    });
  }
  router.service(HealthService, healthService(health, streamsSignal));
  addReflection(router, streamsSignal);
}

/**
 * What `connectNodeAdapter` does, except that a `Host` which makes no URL is not thrown at the server, a caller
 * that goes away is not an error on the console, and a body that is refused does not take the connection, and
 * with it the answer, down.
 */
async function serve(
  handler: UniversalHandler,
  req: HttpRequest,
  res: HttpResponse,
  tellRefusal: TellRefusal | undefined,
): Promise<void> {
  const startedAt = performance.now();
  const requestId = requestIdFrom(req.headers["x-request-id"]);
  // Read at once: of a connection that is gone the address can't be told.
  const origin: Origin = { requestId, peer: req.socket.remoteAddress ?? "", isCall: false };
  if (tellRefusal !== undefined) {
    res.once("close", () => {
      if (!origin.isCall) tellRefusal(doorOf(req), origin, performance.now() - startedAt);
    });
  }
  try {
    res.setHeader("x-request-id", requestId);
    const values = createContextValues().set(originKey, origin);
    const request = universalRequestFromNodeRequest(req, res, undefined, values);
    dropEndlessDeadline(request.header);
    const body = req.iterator({ destroyOnReturn: false });
    // What is left of a refused body: unread, it would block the connection.
    res.once("finish", () => req.resume());
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

function doorOf({ headers }: HttpRequest): Door {
  const [, protocol] = /^application\/(grpc-web|grpc)/i.exec(headers["content-type"] ?? "") ?? [];
  return (protocol?.toLowerCase() as Door | undefined) ?? "connect";
}
