import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { CallObserver } from "../calls/call.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import type { CallPipeline } from "../calls/pipeline.ts";
import { firstOf, type ProtocolHandler, type ServerHandlers } from "../calls/protocol-handler.ts";
import type { ShareHolders } from "../calls/share-holders.ts";
import type { Config } from "../config/settings.ts";
import { descriptorSetHandler } from "../protocols/rpc/descriptor-set.ts";
import { rpcHandler } from "../protocols/rpc/handler.ts";
import { restHandler } from "../protocols/vapi/handler.ts";
import { jsonRpcHandler } from "../protocols/vapi/json-rpc/handler.ts";
import { openApiHandler } from "../protocols/vapi/openapi.ts";
import { soapHandler } from "../protocols/vapi/soap/handler.ts";
import { healthHandler, metricsElsewhere } from "../server/admin.ts";
import { withCors } from "../server/cors.ts";
import { withKnownHosts } from "../server/known-hosts.ts";
import { pagesHandler } from "../server/pages.ts";
import type { Health } from "../telemetry/health.ts";
import { openHosts } from "./hosts.ts";

export interface ProtocolParts {
  readonly pipeline: CallPipeline;
  readonly downloads: ProtocolHandler;
  readonly health: Health;
  readonly pageHeaders: readonly string[];
  readonly observe: CallObserver;
  readonly clientAddressOf: ClientAddressOf;
  /** Open streams that need no credentials, by address. */
  readonly strangers: ShareHolders;
  readonly callsMustEnd: AbortSignal;
  readonly streamsMustEnd: AbortSignal;
}

/** What `npm run console` has built. */
const pagesFolder = fileURLToPath(new URL("../../dist/console", import.meta.url));
const openApiDocument = new URL("../../gen/openapi.json", import.meta.url);

/** Every protocol, in order: the first one that takes a request serves it. A new protocol is a row here. */
export function openProtocols(config: Config, parts: ProtocolParts): ServerHandlers {
  const { maxBodyBytes, fastLane, corsOrigins, console } = config;
  const { pipeline, downloads, health, pageHeaders, observe, clientAddressOf, strangers, ...ends } = parts;
  const lanes = { maxBodyBytes, fastLane, strangers, clientAddressOf };
  return firstOf([
    healthHandler(health, pageHeaders),
    metricsElsewhere(pageHeaders),
    ...withKnownHosts({ isKnownHost: openHosts(config), pageHeaders, observe }, [
      ...(console ? [pagesHandler(pagesFolder, pageHeaders)] : []),
      ...withCors(corsOrigins, [
        downloads,
        openApiHandler(readFileSync(openApiDocument, "utf8"), pageHeaders),
        descriptorSetHandler(pipeline.operations, pageHeaders),
        rpcHandler({ pipeline, health, observe, ...lanes, ...ends }),
        soapHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
        jsonRpcHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
        restHandler({ pipeline, maxBodyBytes, pageHeaders, observe }),
      ]),
    ]),
  ]);
}
