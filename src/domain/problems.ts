import type { Census } from "./census.ts";
import type { SeenReplica } from "./replica-store.ts";

/** What an overview is made from. */
export interface OverviewFacts {
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly now: number;
  readonly replicas: readonly SeenReplica[];
  readonly census: Census | undefined;
  readonly isReachable: boolean;
  readonly isWritable: boolean;
  readonly usedBytes: number | undefined;
  readonly maxBytes: number | undefined;
}

/** A replica that has not reported for so long is silent. It reports each second. */
const silentMs = 4_000;
const maxUsedPart = 0.9;
/** More than this part of the ACTIVE leases in a minute, and this number in the latest count: they expire in masses. */
const massPart = 0.2;
const massNumber = 10;

/** What is wrong, and what to do about it, in sentences for operators; the worst first. */
export function problemsOf(facts: OverviewFacts): string[] {
  return [...storeProblems(facts), ...replicaProblems(facts), ...expiryProblems(facts.census)];
}

function storeProblems({ isReachable, isWritable, usedBytes = 0, maxBytes }: OverviewFacts): string[] {
  if (!isReachable)
    return [
      "The store does not respond; every call that needs it fails. Look at the store and at the network to it.",
    ];
  const problems: string[] = [];
  if (!isWritable)
    problems.push(
      "No session can be created, because the store can't be written. The log of a replica has the reason.",
    );
  if (maxBytes !== undefined && usedBytes > maxBytes * maxUsedPart) {
    const percent = Math.floor((usedBytes / maxBytes) * 100);
    problems.push(
      `The store uses ${percent} % of its memory; when it is full, no session can be created. Give it more, or end sessions.`,
    );
  }
  return problems;
}

function replicaProblems({ now, replicas }: OverviewFacts): string[] {
  const problems: string[] = [];
  for (const { name, seenAt, isReady } of replicas) {
    const silentForMs = now - seenAt;
    if (silentForMs > silentMs)
      problems.push(
        `Replica ${name} has been silent for ${Math.floor(silentForMs / 1000)} s. Look whether it runs and reaches the store.`,
      );
    else if (!isReady)
      problems.push(
        `Replica ${name} is not ready to serve: it is starting or stopping, or can't write the store.`,
      );
  }
  const versions = [...new Set(replicas.map(({ version }) => version))].sort();
  if (versions.length > 1)
    problems.push(
      `The replicas run different versions: ${versions.join(", ")}. Finish the upgrade, unless it is running.`,
    );
  return problems;
}

/** Most clients that are well end their sessions. */
function expiryProblems(census: Census | undefined): string[] {
  if (census === undefined || census.expired < massNumber || census.sinceMs <= 0) return [];
  const aMinute = (census.expired / census.sinceMs) * 60_000;
  // Those that expired were among them.
  if (aMinute <= massPart * (census.states.ACTIVE + census.expired)) return [];
  return [
    `Leases expire in masses, at ${Math.round(aMinute)} a minute with ${census.states.ACTIVE} active: clients have vanished, or don't reach the service. Look at its addresses, load balancers and the network.`,
  ];
}
