import type { Census } from "./census.ts";
import type { Replica } from "./replica-store.ts";

/** The state of all processes that share a store, at one moment. Rates are those of the last seconds. */
export interface OverviewPoint {
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly at: number;
  /** Sessions in state ACTIVE, by the latest census. */
  readonly active: number;
  readonly grantedPerSecond: number;
  readonly renewedPerSecond: number;
  /** Leases that ran out, on average between the latest two censuses. */
  readonly expiredPerSecond: number;
  readonly downloads: number;
  readonly bytesPerSecond: number;
}

export interface OverviewInput {
  readonly now: number;
  readonly replicas: readonly Replica[];
  readonly census: Census | undefined;
}

/** Adds up what the replicas report. */
export function overviewPoint({ now, replicas, census }: OverviewInput): OverviewPoint {
  const sum = (value: (replica: Replica) => number) =>
    replicas.reduce((total, replica) => total + value(replica), 0);
  const { expired = 0, sinceMs = 0 } = census ?? {};
  return {
    at: now,
    active: census?.states.ACTIVE ?? 0,
    grantedPerSecond: sum((replica) => replica.grantedPerSecond),
    renewedPerSecond: sum((replica) => replica.renewedPerSecond),
    expiredPerSecond: sinceMs > 0 ? (expired / sinceMs) * 1000 : 0,
    downloads: sum((replica) => replica.downloads),
    bytesPerSecond: sum((replica) => replica.bytesPerSecond),
  };
}
