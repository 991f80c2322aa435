import type { Logger } from "pino";
import { Admission } from "../calls/admission.ts";
import { clientAddressFinder } from "../calls/client-address.ts";
import { pageHeaders as pageHeadersFor } from "../calls/page-headers.ts";
import { CallPipeline, serviceNamesOf } from "../calls/pipeline.ts";
import { ShareHolders } from "../calls/share-holders.ts";
import type { Program } from "../cluster/worker.ts";
import { addressMatcher } from "../config/addresses.ts";
import type { Config } from "../config/settings.ts";
import { firstValues } from "../domain/settings.ts";
import { Server } from "../server/server.ts";
import { shutDown } from "../server/shutdown.ts";
import { callObserver, overloadCounter } from "../telemetry/call-observer.ts";
import { downloadObserver } from "../telemetry/download-observer.ts";
import { Health } from "../telemetry/health.ts";
import { Metrics, type MetricsSnapshot } from "../telemetry/metrics.ts";
import { StoreMonitor } from "../telemetry/store-monitor.ts";
import { openAdmin } from "./admin.ts";
import { openDownloads } from "./downloads.ts";
import { openLog, summaryOf } from "./log.ts";
import { openOperations } from "./operations.ts";
import { openAuthentication, openContent, openStores, openTls } from "./parts.ts";
import { openPreparations } from "./preparations.ts";
import { openProtocols } from "./protocols.ts";
import { openSettings } from "./settings.ts";
import { orStartError } from "./start-error.ts";

/** A running service. */
export interface App {
  /** For example `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly port: number;
  /** Where health and metrics are; undefined without an admin address, and in a worker. */
  readonly adminUrl: string | undefined;
  metricsSnapshot(): Promise<MetricsSnapshot>;
  /** Resolves when everything has ended, within the shutdown timeout; every call returns the same promise. */
  stop(): Promise<void>;
}

export interface AppOptions {
  readonly logger?: Logger;
  /** The program that this app is one worker of. */
  readonly program?: Program;
}

/**
 * Opens the parts one by one and serves. Resolves when the port is open; the service is not ready while the store does
 * not answer. What was opened is closed when a later part fails to open, and when the app stops.
 *
 * @throws StartError
 */
export async function startApp(config: Config, { logger, program }: AppOptions = {}): Promise<App> {
  const log = logger ?? openLog(config, program);
  const metrics = new Metrics();
  const [endStreams, endCalls] = [new AbortController(), new AbortController()];
  const [streamsMustEnd, callsMustEnd] = [endStreams.signal, endCalls.signal];
  await using opened = new AsyncDisposableStack();

  const isTrustedProxy = addressMatcher(config.trustedProxies);
  const clientAddressOf = clientAddressFinder(isTrustedProxy);
  const tls = await openTls(config);
  const pageHeaders = pageHeadersFor(tls !== undefined);
  const content = await openContent(config, log);
  const values = firstValues(config.changeable);
  const backend = opened.use(await openStores(config, values, { metrics, log }));
  const authentication = await openAuthentication(config, { logins: backend.logins, clientAddressOf, log });
  opened.defer(() => authentication.close());
  const { authenticate, login, administrate } = authentication;

  const preparations = openPreparations(config, { backend, content, metrics, log }, opened);
  const admission = new Admission(values.maxCalls);
  const downloads = openDownloads(config, {
    admission,
    backend,
    content,
    values,
    pageHeaders,
    isTrustedProxy,
    clientAddressOf,
    observe: downloadObserver(metrics, log),
    fallback: () => server.url,
    callsMustEnd,
  });
  opened.defer(() => downloads.close());
  const settings = await openSettings(config, values, { backend, admission, downloads, log, program });
  opened.defer(() => settings.close());

  const { linkFor, handler } = downloads;
  const stores = { backend, content, settings, preparations };
  const operations = openOperations(config, { ...stores, linkFor, metrics });
  const observe = callObserver(metrics, log, clientAddressOf);
  const places = {
    admission,
    streams: new ShareHolders(config.maxStreams),
    strangers: new ShareHolders(config.maxWatches),
    isOpen: config.auth === "none",
    clientAddressOf,
  };
  const pipeline = new CallPipeline({ operations, authenticate, login, administrate, ...places, observe });

  const health = new Health(serviceNamesOf(operations));
  if (program !== undefined) health.watch("", program.reportStatus);
  const monitor = new StoreMonitor({ store: backend, health, log });
  opened.defer(() => monitor.stop());
  const ends = { callsMustEnd, streamsMustEnd };
  const { strangers } = places;
  const shared = { observe, clientAddressOf, strangers };
  const parts = { pipeline, downloads: handler, health, pageHeaders, ...shared, ...ends };
  const { host, port, graceMs, drainMs, maxConnections } = config;
  const connections = { ...metrics.connections, refused: overloadCounter(log, "connections") };
  const listening = { host, port, tls, maxConnections, connections };
  const server = new Server({ ...openProtocols(config, parts), ...listening });
  // The supervisor of several workers has the admin address.
  const admin =
    program === undefined ? await openAdmin(config, { readiness: health, metrics, log }) : undefined;
  opened.use(admin);
  await monitor.start();
  await orStartError(() => server.listen());
  const adminUrl = admin?.url;
  if (program === undefined) log.info({ url: server.url, adminUrl, ...summaryOf(config) }, "serving");

  const rest = opened.move();
  const stop = () => shutDown({ health, server, rest, endStreams, endCalls, graceMs, drainMs, log });
  let stopped: Promise<void> | undefined;
  return {
    url: server.url,
    port: server.port,
    adminUrl,
    metricsSnapshot: () => metrics.snapshot(),
    stop: () => (stopped ??= stop()),
  };
}
