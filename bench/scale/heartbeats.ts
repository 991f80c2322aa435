/** Heartbeats at a fixed rate over random sessions, through all replicas, and what they cost. */
import { readFileSync } from "node:fs";
import { drivers } from "../drivers/drivers.ts";
import { openLoop } from "../load.ts";
import { quantile } from "../statistics.ts";
import type { Replicas } from "./replicas.ts";
import type { SessionCluster } from "./store.ts";

const callersOfReplica = 100;

export interface HeartbeatLoad {
  /** Heartbeats a second, over all replicas. */
  readonly rate: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

export interface HeartbeatRound {
  /** Accepted ones, a second. */
  readonly rate: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** Of each replica. */
  readonly p99s: readonly number[];
  /** CPU time of all replicas, and of all masters, in µs a heartbeat. */
  readonly cpuMicros: number;
  readonly redisMicros: number;
  /** CPU time of each replica, in ms a second. */
  readonly cpuMillis: readonly number[];
  /** What the masters received and sent, in bytes a heartbeat. */
  readonly redisBytes: number;
  /** All that the loopback device carried, headers and other calls included, in bytes a heartbeat. */
  readonly networkBytes: number;
}

/** @throws Error when a heartbeat was not accepted */
export async function sendHeartbeats(
  store: SessionCluster,
  { running, headers, cpuNanos }: Replicas,
  { rate, seconds, warmUpSeconds }: HeartbeatLoad,
): Promise<HeartbeatRound> {
  const { sessionIds } = store;
  const open = await Promise.all(
    running.map(({ port }) => drivers.grpc.open({ port, sessionIds, callers: callersOfReplica, headers })),
  );
  const load = (time: number) =>
    Promise.all(
      open.map(({ calls }) => openLoop(calls, { rate: rate / open.length, seconds: time, whenBusy: "wait" })),
    );
  const snapshot = async () => ({
    service: cpuNanos(),
    redis: store.cpuNanos(),
    redisBytes: await store.networkBytes(),
    networkBytes: loopbackBytes(),
  });
  try {
    await load(warmUpSeconds);
    const before = await snapshot();
    const results = await load(seconds);
    const after = await snapshot();
    const sum = (value: (result: (typeof results)[number]) => number) =>
      results.reduce((total, result) => total + value(result), 0);
    const lost = sum((result) => result.failed + result.unavailable + result.lost);
    if (lost > 0) throw new Error(`${lost} heartbeats were not accepted`);
    const accepted = sum((result) => result.accepted);
    const cpu = after.service.map((nanos, index) => nanos - before.service[index]!);
    const latencies = Float64Array.from(results.flatMap((result) => [...result.latencies])).sort();
    return {
      rate: accepted / seconds,
      p50: quantile(latencies, 0.5),
      p99: quantile(latencies, 0.99),
      p99s: results.map((result) => quantile(result.latencies, 0.99)),
      cpuMicros: cpu.reduce((total, nanos) => total + nanos, 0) / 1e3 / accepted,
      redisMicros: (after.redis - before.redis) / 1e3 / accepted,
      cpuMillis: cpu.map((nanos) => nanos / 1e6 / seconds),
      redisBytes: (after.redisBytes - before.redisBytes) / accepted,
      networkBytes: (after.networkBytes - before.networkBytes) / accepted,
    };
  } finally {
    for (const { close } of open) close();
  }
}

/** Bytes that the loopback device has carried so far. */
function loopbackBytes(): number {
  return Number(/^\s*lo:\s*(\d+)/m.exec(readFileSync("/proc/net/dev", "utf8"))?.[1]);
}
