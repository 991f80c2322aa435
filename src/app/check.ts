import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { pino } from "pino";
import { countKeys } from "../auth/bearer-tokens.ts";
import { openUsersFile } from "../auth/users-file.ts";
import { isLoopback } from "../config/addresses.ts";
import type { Config } from "../config/settings.ts";
import { inspectContentCache, openContentSource } from "../content/open.ts";
import { type Finding, ok, warning, wrong } from "../domain/finding.ts";
import { firstValues } from "../domain/settings.ts";
import { inspectBackend } from "../stores/open.ts";
import { certificateFindings } from "./check-certificates.ts";
import { backendOptions, backendUrl, idleCache } from "./parts.ts";
import { messageOf } from "./start-error.ts";

export type { Finding };

/** One part of the environment. Rejects with what is wrong. */
interface Check {
  readonly about: string;
  run(config: Config): Promise<readonly Finding[]>;
}

/** In the order in which the service opens its parts. */
const checks: readonly Check[] = [
  { about: "tls", run: certificateFindings },
  { about: "content", run: contentFindings },
  { about: "cache", run: cacheFindings },
  { about: "store", run: storeFindings },
  { about: "callers", run: callerFindings },
  { about: "tokens", run: tokenFindings },
  { about: "links", run: linkFindings },
  { about: "address", run: ({ host, port }) => addressFindings("address", host, port) },
  { about: "admin", run: adminFindings },
];

/**
 * Looks at everything that the service needs, part by part. Serves nothing, and leaves nothing behind: a session of
 * nobody lives in Redis for a moment, and the lock of an SQLite file is taken and given back.
 *
 * @param secretFiles paths of files that hold secrets, besides those in the configuration
 */
export async function* checkEnvironment(
  config: Config,
  secretFiles: readonly string[],
): AsyncGenerator<Finding> {
  for (const { about, run } of checks) {
    try {
      yield* await run(config);
    } catch (error) {
      yield wrong(about, messageOf(error));
    }
  }
  const { tls, redis, usersFile } = config;
  const files = [tls?.key, redis.key, usersFile, ...secretFiles].filter((path) => path !== undefined);
  yield* await modeFindings([...new Set(files)]);
}

async function contentFindings({ content }: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  const warn = (message: string) => void findings.push(warning("content", message));
  const source = await openContentSource(
    content.kind === "s3" ? { ...content, cache: undefined, warn } : { ...content, warn },
  );
  const [libraries, items = []] = await Promise.all([source.libraries(), source.items()]);
  const counts = `libraries: ${libraries.length}, items: ${items.length}`;
  const where = content.kind === "directory" ? content.root : `s3://${content.bucket}/${content.prefix}`;
  if (items.length > 0) return [ok("content", `${where} can be read; ${counts}`), ...findings];
  const what = "there is nothing to download yet: an item is a directory in a directory, with files in it";
  return [warning("content", `${where} can be read, but ${what} (${counts})`), ...findings];
}

async function cacheFindings({ content, offload }: Config): Promise<Finding[]> {
  const findings = await inspectContentCache(content);
  const isIdle = findings.length > 0 && offload?.to === "storage";
  return isIdle ? [...findings, warning("cache", idleCache)] : findings;
}

async function storeFindings(config: Config): Promise<readonly Finding[]> {
  const log = pino({ level: "silent" });
  const options = await backendOptions(config, firstValues(config.changeable), log);
  return inspectBackend(backendUrl(config), options);
}

async function callerFindings({ auth, usersFile, host, mtls, jwt }: Config): Promise<Finding[]> {
  if (auth === "none") {
    const anonymous = "every caller is anonymous";
    if (isLoopback(host))
      return [ok("callers", `${anonymous}, and only programs of this machine reach ${host}`)];
    return [
      warning("callers", `${anonymous}, and other machines reach ${host}; set --users-file or its like`),
    ];
  }
  const methods = [usersFile && "passwords", jwt && "bearer tokens", mtls && "client certificates"];
  const findings = [ok("callers", `have to log in: ${methods.filter(Boolean).join(", ")}`)];
  if (usersFile === undefined) return findings;
  const log = { warn() {}, error() {} };
  const file = await openUsersFile({ path: usersFile, log }).catch((error: unknown) => {
    throw new Error(`the users file ${usersFile} can't be used: ${messageOf(error)}`, { cause: error });
  });
  file.close();
  const { size } = file.value;
  if (size > 0) return [...findings, ok("callers", `users in ${usersFile}: ${size}`)];
  return [...findings, warning("callers", `${usersFile} has no users; add one with downlease users add`)];
}

async function tokenFindings({ jwt }: Config): Promise<Finding[]> {
  if (jwt === undefined) return [];
  const count = await countKeys(jwt.jwks).catch((error: unknown) => {
    throw new Error(`the keys in ${jwt.jwks} can't be read: ${withCause(error)}`, { cause: error });
  });
  if (count > 0) return [ok("tokens", `keys in ${jwt.jwks}: ${count}`)];
  return [wrong("tokens", `${jwt.jwks} has no keys, so that every token would be refused`)];
}

/** The error of `fetch` says nothing by itself. */
function withCause(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const inner = cause instanceof Error ? (cause.cause ?? cause) : undefined;
  return inner instanceof Error ? inner.message : messageOf(error);
}

async function linkFindings({ linkKeys: [first, ...others] }: Config): Promise<Finding[]> {
  if (first === undefined) return [ok("links", "are signed with a key that the store keeps")];
  const ids = others.map(({ id }) => id).join(", ") || "no other";
  return [ok("links", `are signed with the key ${first.id}, and verified with it and with ${ids}`)];
}

async function adminFindings({ adminListen }: Config): Promise<Finding[]> {
  if (adminListen === undefined) return [ok("admin", "no metrics are served")];
  const { host, port } = adminListen;
  const findings = await addressFindings("admin", host, port);
  if (isLoopback(host)) return findings;
  return [...findings, warning("admin", `${host} is reached by other machines: metrics need no login there`)];
}

/** Listens for a moment. */
async function addressFindings(about: string, host: string, port: number): Promise<Finding[]> {
  const where = `${host}, port ${port}`;
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, "listening");
    return [ok(about, port === 0 ? `${host} with any free port` : `${where} is free`)];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    return [warning(about, `${where} is in use; when that is not the service itself, set another one`)];
  } finally {
    server.close();
  }
}

async function modeFindings(paths: readonly string[]): Promise<Finding[]> {
  // Windows has no such mode.
  if (process.platform === "win32") return [];
  const modes = await Promise.all(
    paths.map(async (path) => ({ path, mode: (await stat(path).catch(() => undefined))?.mode ?? 0 })),
  );
  const open = modes.filter(({ mode }) => (mode & 0o004) !== 0);
  if (open.length === 0)
    return paths.length === 0 ? [] : [ok("modes", "not everybody may read the files with secrets")];
  return open.map(({ path }) =>
    warning("modes", `everybody on this machine can read ${path}: chmod o-r ${path}`),
  );
}
