import type { Census } from "../../domain/census.ts";
import {
  type Fleet,
  maxReplicas,
  type Replica,
  type ReplicaReport,
  type ReplicaStore,
  replicaMs,
  type SeenReplica,
} from "../../domain/replica-store.ts";
import type { RedisConnection } from "./connection.ts";
import { replicasKey } from "./keys.ts";
import { script, unexpected } from "./scripts.ts";

const key = () => replicasKey;

const reportScript = script<ReplicaReport, Fleet & { readonly takesCensus: boolean }>("reportReplica-1", {
  key,
  args: ({ replica, counted, batch }) => [
    ...[replica.name, JSON.stringify(replica), counted.granted, counted.ended],
    ...[replicaMs, maxReplicas, batch],
  ],
  output: ([tag, now, granted, ended, takes, census]) => {
    if (tag !== "OK") throw unexpected(tag);
    return {
      now: Number(now),
      totals: { granted: Number(granted), ended: Number(ended) },
      census: census === undefined ? undefined : JSON.parse(String(census)),
      takesCensus: takes === "1",
    };
  },
});

const readScript = script<undefined, Fleet & { readonly replicas: readonly SeenReplica[] }>(
  "readReplicas-1",
  {
    key,
    args: () => [],
    output: ([tag, time, ...parts]) => {
      if (tag !== "OK") throw unexpected(tag);
      const now = Number(time);
      const texts = parts.map(String);
      const fields = new Map(texts.flatMap((name, n) => (n % 2 ? [] : [[name, texts[n + 1]!]])));
      const census = fields.get("census");
      return {
        now,
        totals: { granted: Number(fields.get("granted") ?? 0), ended: Number(fields.get("ended") ?? 0) },
        census: census === undefined ? undefined : JSON.parse(census),
        replicas: [...fields]
          .flatMap(([name, value]) => (name.startsWith("r:") ? [seenReplica(value)] : []))
          .filter(({ seenAt }) => seenAt > now - replicaMs)
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      };
    },
  },
);

const recordScript = script<{ readonly name: string; readonly census: Census }, boolean>("recordCensus-1", {
  key,
  args: ({ name, census }) => [name, JSON.stringify(census)],
  output: ([tag]) => tag === "OK",
});

const leaveScript = script<string, void>("leaveReplicas-1", {
  key,
  args: (name) => [name],
  output: () => {},
});

/** One hash without a TTL: the totals count for as long as there are sessions. */
export class RedisReplicaStore implements ReplicaStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  report(report: ReplicaReport): Promise<Fleet & { readonly takesCensus: boolean }> {
    return this.#redis.run(reportScript, report);
  }

  read(): Promise<Fleet & { readonly replicas: readonly SeenReplica[] }> {
    return this.#redis.run(readScript, undefined);
  }

  recordCensus(name: string, census: Census): Promise<boolean> {
    return this.#redis.run(recordScript, { name, census });
  }

  leave(name: string): Promise<void> {
    return this.#redis.run(leaveScript, name);
  }
}

function seenReplica(value: string): SeenReplica {
  const [, seenAt, report] = /^(\S+) \S+ (.*)$/s.exec(value)!;
  const replica: Replica = JSON.parse(report!);
  return { ...replica, seenAt: Number(seenAt) };
}
