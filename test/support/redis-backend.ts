import type { Redis } from "ioredis";
import pino from "pino";
import { RedisBackend, type RedisBackendOptions } from "../../src/stores/redis/backend.ts";
import { eventually } from "./eventually.ts";
import { longLeaseTerms, longLoginTerms } from "./terms.ts";

/** A backend that may not have its connection yet. */
export function openRedis(url: string, options: Partial<RedisBackendOptions> = {}): RedisBackend {
  const defaults = { leaseTerms: longLeaseTerms, loginTerms: longLoginTerms, log: pino({ level: "silent" }) };
  return new RedisBackend(url, { ...defaults, ...options });
}

/** A backend that has its connection and hears revocations. */
export async function connectRedis(
  url: string,
  options: Partial<RedisBackendOptions> = {},
): Promise<RedisBackend> {
  const backend = openRedis(url, options);
  await eventually("Redis to answer", () => backend.probe().then(() => true));
  await eventually("revocations to be heard", () => backend.logins.isCacheUsable);
  return backend;
}

/** Milliseconds since the epoch by the clock of a Redis. */
export async function redisTime(node: Redis): Promise<number> {
  const [seconds, microseconds] = await node.time();
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}
