import { request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { restClient, type SessionClient } from "./clients.ts";
import { now } from "./history.ts";
import type { Replica } from "./replicas.ts";
import type { Violation } from "./violation.ts";

/** What one replica said and did at one moment. */
export interface Sample {
  readonly replica: string;
  readonly at: number;
  readonly answeredAt: number;
  /** Whether `/readyz` answered 200. */
  readonly isReady: boolean;
  /** Which of several sessions, spread over a cluster's slots, was written to. */
  readonly probe: number;
  readonly isWritten: boolean;
}

/** How long a replica may say that it is ready while its writes fail, in milliseconds. */
export const maxWrongMs = 5000;
const probes = 6;
const everyMs = 400;

/**
 * Asks each replica by itself, twice a second until the signal, whether it is ready, and lets it write.
 * A write is a creation with the same token again and again: it goes through the store and leaves few sessions.
 */
export async function sampleReadiness(
  replicas: readonly Replica[],
  { authorization, item, until }: { authorization: string; item: string; until: AbortSignal },
): Promise<Sample[]> {
  const samples: Sample[] = [];
  const tokens = Array.from({ length: probes }, () => crypto.randomUUID());
  const watch = async ({ url }: Replica) => {
    using client: SessionClient = restClient({ url, authorization, deadlineMs: 3000 });
    while (!until.aborted) {
      const at = now();
      const isReady = isReadyAt(url);
      const writes = tokens.map(async (token, probe) => {
        const { outcome } = await client.create(item, token);
        const answeredAt = now();
        const isWritten = outcome === "ok";
        samples.push({ replica: url, at, answeredAt, isReady: await isReady, probe, isWritten });
      });
      await Promise.all(writes);
      await delay(Math.max(0, everyMs - (now() - at)), undefined, { signal: until }).catch(() => {});
    }
  };
  await Promise.all(replicas.map(watch));
  return samples;
}

/** Times in which a replica said without a break that it was ready while writes failed. Pure. */
export function readinessViolations(samples: readonly Sample[], origin: number): Violation[] {
  return [...Map.groupBy(samples, ({ replica }) => replica)].flatMap(([replica, own]) => {
    const failing = new Set<number>();
    let since: number | undefined;
    let longest = { ms: 0, from: 0 };
    const moments = [...Map.groupBy(own, ({ at }) => at)].sort(([left], [right]) => left - right);
    for (const [at, writes] of moments) {
      for (const { probe, isWritten } of writes) {
        if (isWritten) failing.delete(probe);
        else failing.add(probe);
      }
      if (!writes[0]!.isReady || failing.size === 0) since = undefined;
      else {
        since ??= at;
        if (at - since > longest.ms) longest = { ms: at - since, from: since };
      }
    }
    if (longest.ms <= maxWrongMs) return [];
    const from = ((longest.from - origin) / 1000).toFixed(1);
    const text = `${replica} said that it was ready for ${(longest.ms / 1000).toFixed(1)} s, from ${from} s on, while its writes failed.`;
    return [{ kind: "ready while writes fail" as const, text, operations: [] }];
  });
}

/** A time after which every replica must serve again. */
export interface Recovery {
  /** What was over then, for people. */
  readonly what: string;
  readonly from: number;
  readonly withinMs: number;
  /** Until when it counts; the next fault begins then. */
  readonly to: number;
}

/** Replicas whose writes still failed when the time for a recovery was over. Pure. */
export function recoveryViolations(samples: readonly Sample[], recoveries: readonly Recovery[]): Violation[] {
  return recoveries.flatMap(({ what, from, withinMs, to }) => {
    const late = samples.filter(
      ({ at, answeredAt, isWritten }) => !isWritten && at > from + withinMs && answeredAt < to,
    );
    return [...Map.groupBy(late, ({ replica }) => replica)].map(([replica, failed]) => {
      const last = Math.max(...failed.map(({ at }) => at));
      const seconds = (ms: number) => (ms / 1000).toFixed(1);
      const text = `${replica}: a write failed ${seconds(last - from)} s after ${what}; ${seconds(withinMs)} s are allowed (${failed.length} failed later than that).`;
      return { kind: "served too late" as const, text, operations: [] };
    });
  });
}

function isReadyAt(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request(`${url}/readyz`, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.setTimeout(2000, () => call.destroy());
    call.on("error", () => resolve(false));
    call.on("close", () => resolve(false));
    call.end();
  });
}
