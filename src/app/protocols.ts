import type { CallObserver } from "../calls/call.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import type { CallPipeline } from "../calls/pipeline.ts";
import { firstOf, type ProtocolHandler, type ServerHandlers } from "../calls/protocol-handler.ts";
import { ShareHolders } from "../calls/share-holders.ts";
import type { Config } from "../config/settings.ts";
import { rpcHandler } from "../protocols/rpc/handler.ts";
import { restHandler } from "../protocols/vapi/handler.ts";
import { jsonRpcHandler } from "../protocols/vapi/json-rpc/handler.ts";
import { adminHandler } from "../server/admin.ts";
import { withCors } from "../server/cors.ts";
import type { Health } from "../telemetry/health.ts";
import type { Exposition } from "../telemetry/metrics.ts";

export interface ProtocolParts {
  readonly pipeline: CallPipeline;
  readonly downloads: ProtocolHandler;
  readonly health: Health;
  readonly metrics: () => Promise<Exposition>;
  readonly pageHeaders: readonly string[];
  readonly observe: CallObserver;
  readonly clientAddressOf: ClientAddressOf;
  readonly callsMustEnd: AbortSignal;
  readonly streamsMustEnd: AbortSignal;
}

/** Every protocol, in order: the first one that takes a request serves it. A new protocol is a row here. */
export function openProtocols(config: Config, parts: ProtocolParts): ServerHandlers {
  const { maxBodyBytes, maxWatches, fastLane, corsOrigins } = config;
  const watches = new ShareHolders(maxWatches);
  const {
    pipeline,
    downloads,
    health,
    metrics,
    pageHeaders,
    observe,
    clientAddressOf,
    callsMustEnd,
    streamsMustEnd,
  } = parts;
  return firstOf([
    adminHandler({ health, metrics, pageHeaders }),
    ...withCors(corsOrigins, [
      downloads,
      rpcHandler({
        pipeline,
        health,
        watches,
        clientAddressOf,
        maxBodyBytes,
        fastLane,
        callsMustEnd,
        streamsMustEnd,
        observe,
      }),
      jsonRpcHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
      restHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
    ]),
  ]);
}
