import { setTimeout as delay } from "node:timers/promises";
import { Cluster, type Redis } from "ioredis";
import { type Finding, ok, warning, wrong } from "../../domain/finding.ts";
import { RedisBackend, type RedisBackendOptions } from "./backend.ts";
import { reasonOf } from "./redis-errors.ts";

/** How long the servers may take to answer for the first time. */
const patienceMs = 1_500;
/** How long a subscription may take. */
const announcementMs = 1_000;
const pauseMs = 100;
const maxClockDifferenceMs = 2_000;
const minVersion = 7;

/**
 * Whether sessions can be kept in Redis. A session of nobody is created, kept alive, ended and deleted on each master,
 * as the readiness of the service does it; nothing is left.
 */
export async function inspectRedis(url: string, options: RedisBackendOptions): Promise<Finding[]> {
  await using backend = new RedisBackend(url, options);
  const { client } = backend.connection;
  let connectionError: unknown;
  client.on("error", (error) => {
    connectionError = error;
  });
  const failure = await within(patienceMs, () => probe(backend));
  if (failure !== undefined) {
    // Without a connection the failure says only that there is none.
    const reason = isAnswer(failure) ? reasonOf(failure) : reasonOfConnection(connectionError ?? failure);
    return [wrong("store", `no session can be kept in Redis: ${reason}`)];
  }
  const found = [ok("store", "sessions can be kept in Redis")];
  const masters = client instanceof Cluster ? client.nodes("master") : [client];
  for (const master of masters) found.push(...(await serverFindings(master)));
  found.push(await announcementFinding(backend));
  return found;
}

/** Resolves with the failure; undefined when a session could be kept. */
async function probe(backend: RedisBackend): Promise<Error | undefined> {
  try {
    await backend.probe();
    return undefined;
  } catch (error) {
    return (error as Error).cause instanceof Error ? ((error as Error).cause as Error) : (error as Error);
  }
}

/** Whether a server has refused a command, which it will do again. */
function isAnswer({ name, message }: Error): boolean {
  return name === "ReplyError" && !message.startsWith("LOADING");
}

/** Of a cluster, why its last node can't be used. */
function reasonOfConnection(error: unknown): string {
  const { lastNodeError } = error as { lastNodeError?: unknown };
  const reason = reasonOf(lastNodeError ?? error);
  return reason === "Connection is closed." ? "no node of the cluster can be reached" : reason;
}

/** Repeats work until it results in nothing or in what stays, or the time is over. Resolves with its last result. */
async function within(ms: number, work: () => Promise<Error | undefined>): Promise<Error | undefined> {
  const deadline = performance.now() + ms;
  let result = await work();
  while (result !== undefined && !isAnswer(result) && performance.now() < deadline) {
    await delay(pauseMs);
    result = await work();
  }
  return result;
}

/** The service itself does without `INFO` and `TIME`, so the right to them may be missing. */
async function serverFindings(server: Redis): Promise<Finding[]> {
  const { host, port } = server.options;
  const where = `the Redis at ${host}:${port}`;
  const findings: Finding[] = [];
  try {
    findings.push(...infoFindings(where, await server.info()));
  } catch (error) {
    findings.push(warning("store", `the version of ${where} is unknown: ${reasonOf(error)}`));
  }
  try {
    const sentAt = Date.now();
    const [seconds, microseconds] = await server.time();
    const roundTripMs = Date.now() - sentAt;
    const differenceMs = Number(seconds) * 1000 + Number(microseconds) / 1000 - (sentAt + roundTripMs / 2);
    findings.push(clockFinding(where, differenceMs));
  } catch (error) {
    findings.push(warning("clock", `the clock of ${where} is unknown: ${reasonOf(error)}`));
  }
  return findings;
}

function infoFindings(where: string, info: string): Finding[] {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const valkey = field("valkey_version");
  const version = valkey ?? field("redis_version") ?? "?";
  const findings: Finding[] = [];
  if (Number.parseInt(version, 10) < minVersion) {
    findings.push(wrong("store", `${where} has version ${version}; ${minVersion}.0 or newer is needed`));
  } else {
    findings.push(ok("store", `${where} has version ${version}${valkey === undefined ? "" : " of Valkey"}`));
  }
  const policy = field("maxmemory_policy");
  if (policy !== undefined && policy !== "noeviction") {
    findings.push(
      warning("store", `${where} may evict sessions (${policy}): set maxmemory-policy noeviction`),
    );
  }
  if (field("aof_enabled") === "0") {
    findings.push(ok("store", `${where} has no append-only file: a restart may lose sessions`));
  }
  return findings;
}

function clockFinding(where: string, differenceMs: number): Finding {
  const seconds = (Math.abs(differenceMs) / 1000).toFixed(1);
  if (Math.abs(differenceMs) < maxClockDifferenceMs)
    return ok("clock", `that of ${where} differs by ${seconds} s`);
  const relation = differenceMs > 0 ? "ahead of" : "behind";
  return warning(
    "clock",
    `that of ${where} is ${seconds} s ${relation} this machine's: callers see wrong ends of leases; synchronise both (NTP)`,
  );
}

/** Ends of sessions are announced, so that downloads are cut at once. */
async function announcementFinding(backend: RedisBackend): Promise<Finding> {
  const watch = backend.watchEnds(() => {});
  const deadline = performance.now() + announcementMs;
  while (!watch.isReliable && performance.now() < deadline) await delay(pauseMs);
  const { isReliable } = watch;
  watch.stop();
  if (isReliable) return ok("store", "ends of sessions are announced");
  return warning(
    "store",
    "ends of sessions are not announced, so that downloads are cut late: give the user of Redis the channels dl:* (&dl:*)",
  );
}
