import type { Logger } from "pino";
import type { Backend } from "../domain/backend.ts";
import type { Finding } from "../domain/finding.ts";
import type { LeaseCounts } from "../domain/lease-counts.ts";
import type { LoginTerms } from "../domain/login-store.ts";
import type { LeaseTerms } from "../domain/session.ts";
import type { TraceStore } from "../domain/trace.ts";
import type { RedisCredentials } from "./redis/client.ts";
import { parseRedisUrl } from "./redis/url.ts";

export type { RedisCredentials };

export interface BackendOptions {
  readonly leaseTerms: LeaseTerms;
  readonly loginTerms: LoginTerms;
  /**
   * Leases get back at most so much of the time that the service was down, where the backend's leases go on without it:
   * in SQLite.
   */
  readonly maxDowntimeMs: number;
  /** Where it counts what happens to leases. */
  readonly leaseCounts?: LeaseCounts;
  readonly log: Logger;
  /** What a Redis needs besides its URL. */
  readonly redisCredentials?: RedisCredentials;
  /** How many replicas of a Redis must have a creation or an end of a session before it is acknowledged. */
  readonly redisWaitReplicas?: number;
  /** Called for each answered round trip to a server: its name and how long it took. */
  readonly observeRoundTrip?: (name: string, seconds: number) => void;
  /** Runs each round trip to a server; left out while no traces are made. */
  readonly trace?: TraceStore | undefined;
}

interface BackendKind {
  /** Schemes of its URLs, without the colon. */
  readonly schemes: readonly string[];
  /** @throws Error that says what is wrong with a URL, without repeating a secret */
  check(url: string): void;
  /** Loads the driver, which only users of this kind pay for. Rejects with an Error when the backend is unusable. */
  open(url: string, options: BackendOptions): Promise<Backend>;
  /** Looks whether the backend could be opened and sessions kept in it. Changes nothing that lasts. */
  inspect(url: string, options: BackendOptions): Promise<readonly Finding[]>;
  /** Copies everything in it to a file, and reports the part that is done; undefined where others do that. */
  readonly backUp?: (url: string, target: string, onProgress: (part: number) => void) => Promise<void>;
}

/** A new kind of backend is a folder and a row here. */
const kinds: readonly BackendKind[] = [
  {
    schemes: ["redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"],
    check: parseRedisUrl,
    async open(url, { redisCredentials: credentials = {}, redisWaitReplicas: waitReplicas, ...options }) {
      const { RedisBackend } = await import("./redis/backend.ts");
      return new RedisBackend(url, { ...options, credentials, waitReplicas });
    },
    async inspect(url, { redisCredentials: credentials = {}, redisWaitReplicas: waitReplicas, ...options }) {
      const { inspectRedis } = await import("./redis/inspect.ts");
      return inspectRedis(url, { ...options, credentials, waitReplicas });
    },
  },
  {
    // What follows the colon is a path, or `:memory:`, as it is.
    schemes: ["sqlite"],
    check: sqlitePathOf,
    async open(url, options) {
      const { SqliteDatabase } = await import("./sqlite/database.ts");
      const { SqliteBackend } = await import("./sqlite/backend.ts");
      return new SqliteBackend(new SqliteDatabase(sqlitePathOf(url), options), options);
    },
    async inspect(url) {
      const { inspectSqlite } = await import("./sqlite/inspect.ts");
      return inspectSqlite(sqlitePathOf(url));
    },
    async backUp(url, target, onProgress) {
      const { backUpSqlite } = await import("./sqlite/backup.ts");
      await backUpSqlite(sqlitePathOf(url), target, onProgress);
    },
  },
];

/**
 * Opens the backend that a URL names: `redis://…` and its variants, or `sqlite:<path>`.
 *
 * @throws Error when the URL is invalid or the backend is unusable; a server that does not answer yet is no error
 */
export async function openBackend(url: string, options: BackendOptions): Promise<Backend> {
  return kindOf(url).open(url, options);
}

/** Looks whether `openBackend` would succeed, and sessions could be kept. Changes nothing that lasts. */
export async function inspectBackend(url: string, options: BackendOptions): Promise<readonly Finding[]> {
  return kindOf(url).inspect(url, options);
}

/**
 * Copies everything in a backend to a file that does not exist yet, while processes use it.
 *
 * @param onProgress called with the part that is copied, from 0 to 1
 * @returns false when the backend is copied by means of its own
 * @throws Error that says what is wrong
 */
export async function backUpBackend(
  url: string,
  target: string,
  onProgress: (part: number) => void,
): Promise<boolean> {
  const { backUp } = kindOf(url);
  await backUp?.(url, target, onProgress);
  return backUp !== undefined;
}

/** @throws Error that says what is wrong with the URL, without repeating a secret */
export function checkBackendUrl(url: string): void {
  kindOf(url).check(url);
}

export function sqliteUrl(path: string): string {
  return `sqlite:${path}`;
}

function sqlitePathOf(url: string): string {
  const path = url.slice(sqliteUrl("").length);
  if (path === "") throw new Error("must name a file, as in sqlite:downlease.db");
  return path;
}

function kindOf(url: string): BackendKind {
  const scheme = url.slice(0, url.indexOf(":"));
  const kind = kinds.find(({ schemes }) => schemes.includes(scheme));
  if (kind !== undefined) return kind;
  const schemes = kinds.flatMap((each) => each.schemes);
  throw new Error(`must start with one of ${schemes.map((each) => `${each}:`).join(", ")}`);
}
