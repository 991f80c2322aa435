import { X509Certificate } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { type AddressInfo, isIPv6 } from "node:net";
import { createSecureContext } from "node:tls";
import { fileURLToPath } from "node:url";
import { getSystemErrorMessage } from "node:util";
import type { Logger } from "pino";
import { noAuthentication } from "../auth/anonymous.ts";
import { Authenticator } from "../auth/authenticator.ts";
import { loginOpener } from "../auth/proven-caller.ts";
import { Admission } from "../calls/admission.ts";
import { pageHeaders as pageHeadersFor } from "../calls/page-headers.ts";
import { CallPipeline, serviceNamesOf } from "../calls/pipeline.ts";
import { firstOf } from "../calls/protocol-handler.ts";
import { Supervisor, type SupervisorEvents } from "../cluster/supervisor.ts";
import { type Program, runWorker } from "../cluster/worker.ts";
import { WorkerFailure } from "../cluster/worker-process.ts";
import { addressMatcher, isLoopback } from "../config/addresses.ts";
import { type ConfigSources, loadConfig } from "../config/load.ts";
import type { Config } from "../config/settings.ts";
import { DirectoryContentSource } from "../content/directory/directory-content-source.ts";
import type { ContentSource } from "../domain/content-source.ts";
import type { LinkKeyStore } from "../domain/link-key-store.ts";
import type { LoginStore } from "../domain/login-store.ts";
import type { PreparationStore } from "../domain/preparation-store.ts";
import type { SessionFileStore } from "../domain/session-file-store.ts";
import type { SessionStore } from "../domain/session-store.ts";
import { openDownloads } from "../downloads/open-downloads.ts";
import { downloadSessionOperations } from "../operations/download-session.ts";
import { sessionFileOperations } from "../operations/download-session-file.ts";
import { libraryOperations } from "../operations/library.ts";
import { loginOperations } from "../operations/login.ts";
import { SharedPreparations } from "../preparation/shared-preparations.ts";
import { rpcHandler } from "../protocols/rpc/handler.ts";
import { restHandler } from "../protocols/vapi/handler.ts";
import { jsonRpcHandler } from "../protocols/vapi/json-rpc/handler.ts";
import { adminHandler } from "../server/admin.ts";
import { withCors } from "../server/cors.ts";
import { Server } from "../server/server.ts";
import { shutDown } from "../server/shutdown.ts";
import { parseRedisUrl } from "../stores/redis/client.ts";
import { RedisConnection } from "../stores/redis/connection.ts";
import { RedisLinkKeyStore } from "../stores/redis/redis-link-key-store.ts";
import { RedisLoginStore } from "../stores/redis/redis-login-store.ts";
import { RedisPreparationStore } from "../stores/redis/redis-preparation-store.ts";
import { RedisSessionFileStore } from "../stores/redis/redis-session-file-store.ts";
import { RedisSessionStore } from "../stores/redis/redis-session-store.ts";
import { SqliteDatabase } from "../stores/sqlite/database.ts";
import { SqliteLinkKeyStore } from "../stores/sqlite/sqlite-link-key-store.ts";
import { SqliteLoginStore } from "../stores/sqlite/sqlite-login-store.ts";
import { SqlitePreparationStore } from "../stores/sqlite/sqlite-preparation-store.ts";
import { SqliteSessionFileStore } from "../stores/sqlite/sqlite-session-file-store.ts";
import { SqliteSessionStore } from "../stores/sqlite/sqlite-session-store.ts";
import { callObserver } from "../telemetry/call-observer.ts";
import { downloadObserver } from "../telemetry/download-observer.ts";
import { Health } from "../telemetry/health.ts";
import { createLogger } from "../telemetry/log.ts";
import { Metrics, type MetricsSnapshot } from "../telemetry/metrics.ts";
import { preparationObserver } from "../telemetry/preparation-observer.ts";
import { StoreMonitor } from "../telemetry/store-monitor.ts";

export { WorkerFailure };

/** A running service. */
export interface App {
  /** For example `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly port: number;
  metricsSnapshot(): Promise<MetricsSnapshot>;
  /** Resolves when everything has ended, within the grace time; the same promise however often it is called. */
  stop(): Promise<void>;
}

/** The surroundings do not let the service start; the message is for the operator. */
export class StartError extends Error {
  override readonly name = "StartError";
}

const exampleLibrary = fileURLToPath(new URL("../../examples/library", import.meta.url));

/** @throws ConfigError */
export function readConfig(flags: ConfigSources["flags"], environment: ConfigSources["environment"]): Config {
  const defaultContentRoot = existsSync(exampleLibrary) ? exampleLibrary : undefined;
  return loadConfig({ flags, environment, defaultContentRoot, checkRedisUrl: parseRedisUrl });
}

export interface AppOptions {
  readonly logger?: Logger;
  /** The program that this app is one worker of. */
  readonly program?: Program;
}

/**
 * Puts the parts together and serves. Resolves when the port is open; a store that does not answer yet does not
 * keep it from opening, the service is then not ready.
 *
 * @throws StartError
 */
export async function startApp(config: Config, { logger, program }: AppOptions = {}): Promise<App> {
  const log = logger ?? loggerFor(config, program);
  const tls = config.tls && (await orStartError(() => readTls(config), "TLS can't be used: "));
  const content = await orStartError(() => openContent(config.content, log));
  const metrics = new Metrics();
  const { countKeepAlive } = metrics;
  const stores = await orStartError(() => openStores(config, metrics, log));
  const { store, logins, files, linkKeys } = stores;
  const preparations = new SharedPreparations({
    store: stores.preparations,
    content,
    observer: preparationObserver(metrics, log),
  });
  const streamsMayEnd = new AbortController();
  const callsMayEnd = new AbortController();
  const pageHeaders = pageHeadersFor(tls !== undefined);
  let url = "";
  const downloads = openDownloads({
    stores: { sessions: store, sessionFiles: files, preparations: stores.preparations, linkKeys },
    content,
    publicUrl: config.publicUrl,
    isTrustedProxy: addressMatcher(config.trustedProxies),
    fallback: () => url,
    linkKeys: config.linkKeys.map(({ id, secret }) => ({ id, secret: secret.reveal() })),
    leaseMs: config.leaseMs,
    stallMs: config.transferStallMs,
    maxDownloads: config.maxTransfers,
    offloadPrefix: config.offloadPrefix,
    pageHeaders,
    observe: downloadObserver(metrics, log),
    callsMustEnd: callsMayEnd.signal,
  });
  const { unary, streams } = downloadSessionOperations({ store, content, countKeepAlive });
  const { linkFor } = downloads;
  const operations = {
    unary: [
      ...unary,
      ...sessionFileOperations({ sessions: store, files, content, preparations, linkFor }),
      ...loginOperations({ logins, openLogin: loginOpener(logins) }),
      ...libraryOperations(content),
    ],
    streams,
  };
  const health = new Health(serviceNamesOf(operations));
  const monitor = new StoreMonitor({ store, health, log });
  const background = [downloads, preparations];
  let authenticator: Authenticator | undefined;
  try {
    authenticator = await orStartError(() => openAuthenticator(config, logins, log));
    const observe = callObserver(metrics, log);
    const { host, maxBodyBytes, maxCalls, fastLane, graceMs, drainMs } = config;
    const pipeline = new CallPipeline({
      operations,
      ...(authenticator ?? noAuthentication),
      admission: new Admission(maxCalls),
      observe,
    });
    const served = { pipeline, maxBodyBytes, pageHeaders, observe };
    const rpc = rpcHandler({
      pipeline,
      health,
      maxBodyBytes,
      fastLane,
      callsMustEnd: callsMayEnd.signal,
      streamsMustEnd: streamsMayEnd.signal,
      observe,
    });
    const protocols = [downloads.handler, rpc, jsonRpcHandler(served), restHandler(served)];
    const exposition = program?.metrics ?? (() => metrics.expose());
    const admin = adminHandler({ health, metrics: exposition, pageHeaders });
    const { connections } = metrics;
    const server = new Server({
      ...firstOf([admin, ...withCors(config.corsOrigins, protocols)]),
      host,
      port: config.port,
      tls,
      connections,
    });
    await monitor.start();
    const { port } = await orStartError(() => server.listen());
    url = `${tls ? "https" : "http"}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
    if (program === undefined) log.info({ url, ...servedBy(config) }, "serving");
    let stopped: Promise<void> | undefined;
    const parts = {
      health,
      server,
      store,
      background,
      monitor,
      streamsMayEnd,
      callsMayEnd,
      graceMs,
      drainMs,
      log,
    };
    const stop = () => shutDown(parts).finally(() => authenticator?.close());
    return { url, port, metricsSnapshot: () => metrics.snapshot(), stop: () => (stopped ??= stop()) };
  } catch (error) {
    monitor.stop();
    authenticator?.close();
    await Promise.allSettled(background.map((work) => work.close()));
    await store.close();
    throw error;
  }
}

/** One of the workers of `superviseApps`: serves until it is told to stop. */
export function startWorkerApp(config: Config, explain: Parameters<typeof runWorker>[1]): Promise<void> {
  return runWorker((program) => startApp(config, { program }), explain);
}

/** The program of several workers; it is to be started. */
export function superviseApps(config: Config, events: SupervisorEvents): Supervisor {
  const { workers, port, graceMs } = config;
  return new Supervisor({
    workers,
    port,
    graceMs,
    log: loggerFor(config),
    served: servedBy(config),
    ...events,
  });
}

function loggerFor({ logLevel: level, logFormat: format }: Config, program?: Program): Logger {
  const log = createLogger({ level, format });
  return program === undefined ? log : log.child({ worker: program.worker });
}

/** What the line tells that the service is up. */
function servedBy({ redisUrl, sqlitePath, content }: Config) {
  const sessions = redisUrl === undefined ? `SQLite ${sqlitePath}` : `Redis ${redisUrl}`;
  if (content.kind === "directory") return { sessions, contentRoot: content.root };
  return { sessions, content: `s3://${content.bucket}/${content.prefix}` };
}

async function openContent(content: Config["content"], log: Logger): Promise<ContentSource> {
  const warn = (message: string) => log.warn(message);
  if (content.kind === "directory") return DirectoryContentSource.open({ root: content.root, warn });
  // Loading the SDK takes a tenth of a second and 20 MB, which is for those who use it.
  const { S3ContentSource } = await import("../content/s3/s3-content-source.ts");
  return S3ContentSource.open({ ...content, warn });
}

interface Stores {
  readonly store: SessionStore;
  readonly logins: LoginStore;
  readonly files: SessionFileStore;
  readonly preparations: PreparationStore;
  readonly linkKeys: LinkKeyStore;
}

/** All on one connection, which is closed with the first. */
function openStores(config: Config, { observeRoundTrip }: Metrics, log: Logger): Stores {
  const { redisUrl, sqlitePath, leaseMs, retentionMs, login: loginTerms } = config;
  const terms = { leaseMs, retentionMs };
  if (redisUrl === undefined) {
    const database = new SqliteDatabase(sqlitePath);
    return {
      store: new SqliteSessionStore({ database, terms }),
      logins: new SqliteLoginStore({ database, terms: loginTerms }),
      files: new SqliteSessionFileStore({ database, terms }),
      preparations: new SqlitePreparationStore({ database }),
      linkKeys: new SqliteLinkKeyStore(database),
    };
  }
  const redis = RedisConnection.open({ url: redisUrl.reveal(), log, observeRoundTrip });
  return {
    store: new RedisSessionStore(redis, terms),
    logins: new RedisLoginStore(redis, loginTerms),
    files: new RedisSessionFileStore(redis, terms),
    preparations: new RedisPreparationStore(redis),
    linkKeys: new RedisLinkKeyStore(redis),
  };
}

/** Undefined: everybody is anonymous. */
async function openAuthenticator(
  config: Config,
  logins: LoginStore,
  log: Logger,
): Promise<Authenticator | undefined> {
  const { auth, usersFile, jwt, mtls, login, host } = config;
  if (auth === "none") {
    if (!isLoopback(host)) log.warn({ host }, "everybody who reaches this address is served as anonymous");
    return undefined;
  }
  return Authenticator.open({
    methods: { usersFile, jwt, mtls },
    failureLimits: login.failures,
    logins,
    log,
  });
}

/** Reads the files and makes sure that certificate and key belong together. */
async function readTls({ tls, mtls }: Config) {
  const clientCaPath = mtls?.ca;
  const [cert, key, clientCa] = await Promise.all([
    readFile(tls!.cert),
    readFile(tls!.key),
    clientCaPath === undefined ? undefined : readFile(clientCaPath),
  ]);
  createSecureContext({ cert, key });
  // TLS itself would trust nobody without a word.
  if (clientCa !== undefined) new X509Certificate(clientCa);
  return { cert, key, clientCa };
}

async function orStartError<T>(work: () => T | Promise<T>, prefix = ""): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new StartError(prefix + messageOf(error), { cause: error });
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { syscall, code, errno, address, port } = error as NodeJS.ErrnoException & Partial<AddressInfo>;
  if (syscall !== "bind" || errno === undefined) return error.message;
  // Of a port that can't be had, Node tells a worker less than it tells a process of its own.
  return `listen ${code}: ${getSystemErrorMessage(errno)} ${address}${port ? `:${port}` : ""}`;
}
