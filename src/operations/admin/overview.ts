import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AdminService,
  GetHistoryResponseSchema,
  GetOverviewResponseSchema,
  type Overview,
  OverviewPointSchema,
  OverviewSchema,
  ReplicaInfoSchema,
  StoreInfoSchema,
  type TopEntry,
  TopEntrySchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { type Operation, operation } from "../../calls/pipeline.ts";
import type { Backend, BackendFacts } from "../../domain/backend.ts";
import type { Census, TopCount } from "../../domain/census.ts";
import type { ContentSource } from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import { type OverviewPoint, overviewPoint } from "../../domain/overview.ts";
import { type OverviewFacts, problemsOf } from "../../domain/problems.ts";
import type { Replica, SeenReplica } from "../../domain/replica-store.ts";

export interface OverviewParts {
  readonly backend: Pick<Backend, "replicas" | "describe">;
  readonly content: Pick<ContentSource, "item">;
  /** This process; undefined until it has started. */
  readonly own: () => Replica | undefined;
  /** Whether sessions can be created. */
  readonly isWritable: () => boolean;
  /** The last minutes, oldest first. */
  readonly history: () => readonly OverviewPoint[];
}

/** The overview of `downlease.admin`. */
export function overviewOperations(parts: OverviewParts): readonly Operation[] {
  return [
    operation({
      method: AdminService.method.getOverview,
      isAdministration: true,
      async run() {
        return create(GetOverviewResponseSchema, { overview: await overviewOf(parts) });
      },
    }),
    operation({
      method: AdminService.method.getHistory,
      isAdministration: true,
      async run() {
        return create(GetHistoryResponseSchema, { points: parts.history().map(historyPoint) });
      },
    }),
  ];
}

type OverviewInit = Omit<MessageInitShape<typeof OverviewSchema>, "$typeName" | "$unknown">;

async function overviewOf({ backend, content, own, isWritable }: OverviewParts): Promise<Overview> {
  const [fleet, store] = await Promise.all([
    unlessUnavailable(backend.replicas.read()),
    unlessUnavailable(backend.describe()),
  ]);
  const now = fleet?.now ?? Date.now();
  const census = fleet?.census;
  // Without the store, what is known is this process.
  const self = own();
  const replicas = fleet?.replicas ?? (self === undefined ? [] : [{ ...self, seenAt: now }]);
  const facts: OverviewFacts = {
    now,
    replicas,
    census,
    isReachable: store !== undefined,
    isWritable: store !== undefined && isWritable(),
    usedBytes: store?.usedBytes,
    maxBytes: store?.maxBytes,
  };
  return create(OverviewSchema, {
    time: timestampFromMs(now),
    ...countsOf(census),
    ...membersOf(overviewPoint({ now, replicas, census })),
    topItems: await Promise.all((census?.topItems ?? []).map((entry) => itemEntry(entry, content))),
    topPrincipals: (census?.topPrincipals ?? []).map((entry) => topEntry(entry)),
    store: storeInfo(store, facts),
    replicas: replicas.map(replicaInfo),
    problems: problemsOf(facts),
  });
}

function countsOf(census: Census | undefined): OverviewInit {
  if (census === undefined) return {};
  const { states, expiring, endedAt } = census;
  return {
    countedTime: timestampFromMs(endedAt),
    canceledSessions: BigInt(states.CANCELED),
    failedSessions: BigInt(states.ERROR),
    expiringSessions: BigInt(expiring),
  };
}

/** The members that the overview and a point of its history share. */
function membersOf({ at: _, active, downloads, ...rates }: OverviewPoint) {
  return { ...rates, activeSessions: BigInt(active), downloads: BigInt(downloads) };
}

function historyPoint(point: OverviewPoint) {
  return create(OverviewPointSchema, { time: timestampFromMs(point.at), ...membersOf(point) });
}

async function itemEntry(entry: TopCount, content: OverviewParts["content"]): Promise<TopEntry> {
  // A name is worth no failure of the overview.
  const item = await Promise.resolve(content.item(entry.id)).catch(() => undefined);
  return topEntry(entry, item?.name);
}

function topEntry({ id, sessions }: TopCount, name?: string): TopEntry {
  return create(TopEntrySchema, { id, sessions: BigInt(sessions), ...(name !== undefined && { name }) });
}

function storeInfo(store: BackendFacts | undefined, { isReachable, isWritable }: OverviewFacts) {
  const { kind = "", usedBytes, maxBytes } = store ?? {};
  return create(StoreInfoSchema, {
    kind,
    isReachable,
    isWritable,
    ...(usedBytes !== undefined && { usedBytes: BigInt(usedBytes) }),
    ...(maxBytes !== undefined && { maxBytes: BigInt(maxBytes) }),
  });
}

function replicaInfo(replica: SeenReplica) {
  const { startedAt, seenAt, downloads, connections, ...members } = replica;
  return create(ReplicaInfoSchema, {
    name: members.name,
    version: members.version,
    address: members.address,
    isReady: members.isReady,
    callsPerSecond: members.callsPerSecond,
    bytesPerSecond: members.bytesPerSecond,
    startTime: timestampFromMs(startedAt),
    lastSeenTime: timestampFromMs(seenAt),
    downloads: BigInt(downloads),
    connections: BigInt(connections),
  });
}

/** Undefined when the store does not respond. */
async function unlessUnavailable<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ServiceError && error.kind === "service_unavailable") return undefined;
    throw error;
  }
}
