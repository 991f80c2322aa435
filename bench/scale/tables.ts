import type { Round } from "../figures.ts";
import { count } from "../formats.ts";
import { median, spread } from "../statistics.ts";
import type { Table } from "../study.ts";
import type { HeartbeatRound } from "./heartbeats.ts";

export function rowOf(sessions: number): string {
  return `${count(sessions)} sessions`;
}

/** In the order of the numbers of sessions. */
type Rows = readonly { readonly rounds: readonly Round[] }[];

/** Medians of a row. */
function medianIn({ rounds }: Rows[number], metric: string): number {
  return median(rounds.map((round) => round[metric] ?? Number.NaN));
}

export function sizeTable(rows: Rows, counts: readonly number[]): Table {
  return {
    name: "scale",
    title: "Heartbeats through three replicas on three masters",
    header: [
      "sessions",
      "Redis bytes of a session",
      "memory of a replica MiB",
      "heartbeats/s",
      "p50 ms",
      "p99 ms",
      "service CPU µs",
      "Redis CPU µs",
      "bytes to and from Redis",
      "bytes on the network",
    ],
    rows: counts.map((sessions, index) => {
      const value = (metric: string, digits: number) => medianIn(rows[index]!, metric).toFixed(digits);
      return [
        count(sessions),
        value("sessionBytes", 0),
        value("replicaMiB", 0),
        count(medianIn(rows[index]!, "rate")),
        value("p50", 2),
        value("p99", 2),
        value("cpuMicros", 0),
        value("redisMicros", 0),
        count(medianIn(rows[index]!, "redisBytes")),
        count(medianIn(rows[index]!, "networkBytes")),
      ];
    }),
  };
}

export function operatorsTable(rows: Rows, counts: readonly number[]): Table {
  const line = (what: string, metric: string, digits: number) => [
    what,
    ...counts.map((_, index) => {
      const value = medianIn(rows[index]!, metric);
      return Number.isNaN(value) ? "" : value.toFixed(digits);
    }),
  ];
  return {
    name: "scale-operators",
    title: "What operators' work takes",
    header: ["", ...counts.map(rowOf)],
    rows: [
      line("a census, s", "censusSeconds", 1),
      line("a watch of all sessions until its snapshot is complete, s", "watchSeconds", 2),
      line("… CPU of its replica, s", "watchCpuSeconds", 2),
      line("a watch of an owner's 100 sessions, ms", "ownerWatchMillis", 0),
      line("ListSessions, pages of 1,000, CPU of a session, µs", "listMicros", 0),
      line("connections to the masters", "connections", 0),
    ],
  };
}

/** Ratios are to the first row. */
export function latencyTable(
  latency: ReadonlyMap<string, readonly HeartbeatRound[]>,
  labels: Readonly<Record<string, string>>,
): Table {
  const p99s = (name: string) => latency.get(name)!.map(({ p99 }) => p99);
  const [first] = latency.keys();
  const base = median(p99s(first!));
  return {
    name: "scale-latency",
    title: "Heartbeats beside other work, with all sessions",
    header: ["", "p50 ms", "p99 ms", "spread", "p99 ratio", "service CPU ms/s", "Redis CPU µs"],
    rows: [...latency].map(([name, rounds]) => {
      const { median: p99, min, max } = spread(p99s(name));
      const millis = rounds.map(({ cpuMillis }) => cpuMillis.reduce((sum, each) => sum + each, 0));
      return [
        labels[name] ?? `beside ${name}`,
        median(rounds.map(({ p50 }) => p50)).toFixed(2),
        p99.toFixed(2),
        `${min.toFixed(2)}–${max.toFixed(2)}`,
        (p99 / base).toFixed(2),
        median(millis).toFixed(0),
        median(rounds.map(({ redisMicros }) => redisMicros)).toFixed(0),
      ];
    }),
  };
}
