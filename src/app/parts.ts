import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext } from "node:tls";
import type { Logger } from "pino";
import type { Config } from "../config/settings.ts";
import { openContentSource } from "../content/open.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import type { LeaseTerms } from "../domain/session.ts";
import type { ServerTls } from "../server/server.ts";
import { recordedBackend } from "../session-feed/recorded-backend.ts";
import { type BackendOptions, openBackend, type RedisCredentials, sqliteUrl } from "../stores/open.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { orStartError } from "./start-error.ts";
import type { Tracing } from "./tracing.ts";

/** Reads the PEM files; undefined for clear text. @throws StartError when certificate and key do not belong together */
export async function openTls({ tls, mtls }: Config): Promise<ServerTls | undefined> {
  if (tls === undefined) return undefined;
  return orStartError(async () => {
    const [cert, key, clientCa] = await Promise.all([
      readFile(tls.cert),
      readFile(tls.key),
      mtls === undefined ? undefined : readFile(mtls.ca),
    ]);
    createSecureContext({ cert, key });
    // TLS accepts a file without certificates and would then trust no client.
    if (clientCa !== undefined) new X509Certificate(clientCa);
    return { cert, key, clientCa };
  }, "TLS can't be used: ");
}

/** The warning about a cache whose files others send. */
export const idleCache =
  "--cache-dir has little use with --offload redirect: most clients read from the bucket, past the cache";

/**
 * The content source, open until the stack is disposed of.
 *
 * @throws StartError
 */
export async function openContent(
  { content, offload }: Config,
  { metrics, log, tracing }: { readonly metrics: Metrics; readonly log: Logger; readonly tracing: Tracing },
  opened: AsyncDisposableStack,
): Promise<ContentSource> {
  const warn = (message: string) => log.warn(message);
  const { outgoingHeaders: traceHeaders } = tracing;
  if (content.kind === "s3" && content.cache !== undefined && offload?.to === "storage") warn(idleCache);
  const source = await orStartError(() => {
    if (content.kind === "directory") return openContentSource({ ...content, warn });
    const cache = content.cache && { ...content.cache, observer: metrics.cache };
    return openContentSource({ ...content, warn, traceHeaders, cache });
  });
  opened.defer(() => source[Symbol.asyncDispose]?.());
  return tracing.content(source);
}

/**
 * A server that does not answer yet is no error.
 *
 * @param leaseTerms read at each use, because they may change
 * @throws StartError
 */
export async function openStores(
  config: Config,
  leaseTerms: LeaseTerms,
  { metrics, log, tracing }: { readonly metrics: Metrics; readonly log: Logger; readonly tracing: Tracing },
): Promise<Backend> {
  const { observeRoundTrip } = metrics;
  const { counts: leaseCounts } = metrics.leases;
  const options = await backendOptions(config, leaseTerms, log);
  const { roundTrip: trace } = tracing;
  const backend = await orStartError(() =>
    openBackend(backendUrl(config), { ...options, observeRoundTrip, leaseCounts, trace }),
  );
  return recordedBackend(config.redisUrl === undefined ? tracing.backend(backend) : backend);
}

/** The store that sessions are kept in. */
export function backendUrl({ redisUrl, sqlitePath }: Config): string {
  return redisUrl?.reveal() ?? sqliteUrl(sqlitePath);
}

/** @throws StartError */
export async function backendOptions(
  config: Config,
  leaseTerms: LeaseTerms,
  log: Logger,
): Promise<BackendOptions> {
  const { redis, maxDowntimeMs, login: loginTerms } = config;
  const redisCredentials = await readRedisCredentials(config);
  return {
    leaseTerms,
    loginTerms,
    maxDowntimeMs,
    redisCredentials,
    redisWaitReplicas: redis.waitReplicas,
    log,
  };
}

/** @throws StartError when certificate and key do not belong together */
async function readRedisCredentials({ redis }: Config): Promise<RedisCredentials> {
  const { sentinelUser: username, sentinelPassword } = redis;
  const read = (path: string | undefined) => (path === undefined ? undefined : readFile(path));
  return orStartError(async () => {
    const [ca, cert, key] = await Promise.all([read(redis.ca), read(redis.cert), read(redis.key)]);
    createSecureContext({ ca, cert, key });
    if (ca !== undefined) new X509Certificate(ca);
    return { tls: { ca, cert, key }, sentinel: { username, password: sentinelPassword?.reveal() } };
  }, "TLS to Redis can't be used: ");
}
