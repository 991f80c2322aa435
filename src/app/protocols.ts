import type { CallObserver } from "../calls/call.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import type { CallPipeline } from "../calls/pipeline.ts";
import { firstOf, type ProtocolHandler, type ServerHandlers } from "../calls/protocol-handler.ts";
import { ShareHolders } from "../calls/share-holders.ts";
import type { Config } from "../config/settings.ts";
import { descriptorSetHandler } from "../protocols/rpc/descriptor-set.ts";
import { rpcHandler } from "../protocols/rpc/handler.ts";
import { restHandler } from "../protocols/vapi/handler.ts";
import { jsonRpcHandler } from "../protocols/vapi/json-rpc/handler.ts";
import { healthHandler, metricsElsewhere } from "../server/admin.ts";
import { withCors } from "../server/cors.ts";
import { withKnownHosts } from "../server/known-hosts.ts";
import type { Health } from "../telemetry/health.ts";
import { openHosts } from "./hosts.ts";

export interface ProtocolParts {
  readonly pipeline: CallPipeline;
  readonly downloads: ProtocolHandler;
  readonly health: Health;
  readonly pageHeaders: readonly string[];
  readonly observe: CallObserver;
  readonly clientAddressOf: ClientAddressOf;
  readonly callsMustEnd: AbortSignal;
  readonly streamsMustEnd: AbortSignal;
}

/** Every protocol, in order: the first one that takes a request serves it. A new protocol is a row here. */
export function openProtocols(config: Config, parts: ProtocolParts): ServerHandlers {
  const { maxBodyBytes, maxWatches, fastLane, corsOrigins } = config;
  const { pipeline, downloads, health, pageHeaders, observe, clientAddressOf, ...ends } = parts;
  const watches = new ShareHolders(maxWatches);
  const lanes = { maxBodyBytes, fastLane, watches, clientAddressOf };
  return firstOf([
    healthHandler(health, pageHeaders),
    metricsElsewhere(pageHeaders),
    ...withKnownHosts({ isKnownHost: openHosts(config), pageHeaders, observe }, [
      ...withCors(corsOrigins, [
        downloads,
        descriptorSetHandler(pipeline.operations, pageHeaders),
        rpcHandler({ pipeline, health, observe, ...lanes, ...ends }),
        jsonRpcHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
        restHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
      ]),
    ]),
  ]);
}
