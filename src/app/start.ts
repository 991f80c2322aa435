import type { Logger } from "pino";
import { Admission } from "../calls/admission.ts";
import { clientAddressFinder } from "../calls/client-address.ts";
import { pageHeaders as pageHeadersFor } from "../calls/page-headers.ts";
import { serviceNamesOf } from "../calls/pipeline.ts";
import { ShareHolders } from "../calls/share-holders.ts";
import type { Program } from "../cluster/worker.ts";
import { addressMatcher } from "../config/addresses.ts";
import { program as downlease } from "../config/program.ts";
import type { Config } from "../config/settings.ts";
import { firstValues } from "../domain/settings.ts";
import { Server } from "../server/server.ts";
import { newEndings, shutDown } from "../server/shutdown.ts";
import { callObserver, overloadCounter } from "../telemetry/call-observer.ts";
import { downloadObserver } from "../telemetry/download-observer.ts";
import { Health } from "../telemetry/health.ts";
import { Metrics, type MetricsSnapshot } from "../telemetry/metrics.ts";
import { StoreMonitor } from "../telemetry/store-monitor.ts";
import { openAdmin } from "./admin.ts";
import { openAudit } from "./audit.ts";
import { openAuthentication } from "./authentication.ts";
import { openDownloads } from "./downloads.ts";
import { openLog, summaryOf } from "./log.ts";
import { openOperations } from "./operations.ts";
import { openContent, openStores, openTls } from "./parts.ts";
import { openPreparations } from "./preparations.ts";
import { openProtocols } from "./protocols.ts";
import { reloader } from "./reload.ts";
import { openReplicas } from "./replicas.ts";
import { openSessionClients } from "./session-clients.ts";
import { openSettings } from "./settings.ts";
import { orStartError } from "./start-error.ts";
import { openTracing } from "./tracing.ts";

/** A running service. */
export interface App {
  /** For example `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly port: number;
  /** Where health and metrics are; undefined without an admin address, and in a worker. */
  readonly adminUrl: string | undefined;
  metricsSnapshot(): Promise<MetricsSnapshot>;
  /** Reads certificates, users and keys again, and opens the audit log again; see `reloader`. */
  reload(): Promise<void>;
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
  const log = logger ?? (await openLog(config, program));
  const metrics = new Metrics(downlease.version);
  const endings = newEndings();
  const { endStreams, endCalls, endDownloads } = endings;
  await using opened = new AsyncDisposableStack();

  const isTrustedProxy = addressMatcher(config.trustedProxies);
  const clientAddressOf = clientAddressFinder(isTrustedProxy);
  const tls = await openTls(config);
  const pageHeaders = pageHeadersFor(tls !== undefined);
  const tracing = opened.use(await openTracing(config, log));
  const content = await openContent(config, { metrics, log, tracing }, opened);
  const values = firstValues(config.changeable);
  const backend = opened.use(await openStores(config, values, { metrics, log, tracing }));
  const clients = openSessionClients(backend, clientAddressOf, opened);
  const audit = opened.use(await openAudit(config, { metrics, log }));
  const authentication = await openAuthentication(config, { backend, clientAddressOf, log, tracing });
  opened.defer(() => authentication.close());
  const { authenticate, login, administrate } = authentication;

  const preparations = openPreparations(config, { backend, content, metrics, log }, opened);
  const admission = new Admission(values.maxCalls);
  const downloads = openDownloads(config, {
    admission,
    backend,
    content,
    values,
    clients,
    pageHeaders,
    isTrustedProxy,
    clientAddressOf,
    isUser: (name) => authentication.users.has(name),
    observe: downloadObserver(metrics, log),
    tracing,
    fallback: () => server.url,
    downloadsMustEnd: endDownloads.signal,
  });
  opened.defer(() => downloads.close());
  const settings = await openSettings(config, values, { backend, admission, downloads, log, program });
  opened.defer(() => settings.close());

  const stores = { backend, content, settings, preparations, linkFor: downloads.linkFor };
  const isReady = () => health.statuses.get("") === "SERVING";
  const replicas = openReplicas({ backend, metrics, isReady, log, program }, opened);
  const others = { metrics, replicas, clients, authentication, audit: audit.log };
  const operations = openOperations(config, { ...stores, ...others });
  const observe = callObserver(metrics, log, clientAddressOf);
  const places = {
    admission,
    streams: new ShareHolders(config.maxStreams),
    strangers: new ShareHolders(config.maxWatches),
    isOpen: config.auth === "none",
    clientAddressOf,
  };
  const callers = { authenticate, login, administrate };
  const pipeline = tracing.pipeline({ operations, ...callers, ...places, observe, audit: audit.log.record });

  const health = new Health(serviceNamesOf(operations));
  if (program !== undefined) health.watch("", program.reportStatus);
  const monitor = new StoreMonitor({ store: backend, health, metrics: metrics.store, log });
  opened.defer(() => monitor.stop());
  const ends = { callsMustEnd: endCalls.signal, streamsMustEnd: endStreams.signal };
  const shared = { observe, clientAddressOf, strangers: places.strangers };
  const parts = { pipeline, downloads: downloads.handler, health, pageHeaders, ...shared, ...ends };
  const { host, port, graceMs, transferGraceMs, drainMs, maxConnections } = config;
  const listening = { host, port, tls, maxConnections, connections: countedConnections(metrics, log) };
  const server = new Server({ ...openProtocols(config, parts), ...listening });
  // The supervisor of several workers has the admin address.
  const readiness = health;
  const admin = opened.use(program ? undefined : await openAdmin(config, { readiness, metrics, log }));
  await monitor.start();
  await orStartError(() => server.listen());
  replicas.start(server.url);
  if (program === undefined)
    log.info({ url: server.url, adminUrl: admin?.url, ...summaryOf(config) }, "serving");

  const [reload, rest] = [reloader(config, { server, authentication, audit, log }), opened.move()];
  const stop = () => shutDown({ health, server, rest, ...endings, graceMs, transferGraceMs, drainMs, log });
  return runningApp({ server, adminUrl: admin?.url, metrics, reload, stop });
}

interface RunningParts extends Pick<App, "adminUrl" | "reload" | "stop"> {
  readonly server: Server;
  readonly metrics: Metrics;
}

function runningApp({ server, adminUrl, metrics, reload, stop }: RunningParts): App {
  let stopped: Promise<void> | undefined;
  return {
    url: server.url,
    port: server.port,
    adminUrl,
    reload,
    metricsSnapshot: () => metrics.snapshot(),
    stop: () => (stopped ??= stop()),
  };
}

/** Counts connections, and logs those that are refused. */
function countedConnections({ connections }: Metrics, log: Logger) {
  const logRefusal = overloadCounter(log, "connections");
  const refused = () => {
    connections.refused();
    logRefusal();
  };
  return { ...connections, refused };
}
