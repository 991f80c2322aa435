import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AdminService,
  SessionEvent_Kind as Kind,
  type WatchSessionsResponse,
  WatchSessionsResponseSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { sharedEncoder } from "../../calls/encoder.ts";
import { type ServerStreamOperation, serverStreamOperation } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { SessionEvent, SessionEventKind } from "../../session-feed/session-event.ts";
import type { SessionFeed } from "../../session-feed/session-feed.ts";
import type { WatchStep } from "../../session-feed/session-watcher.ts";
import { sessionFilter } from "./session-filter.ts";
import type { SessionInfos } from "./session-info.ts";

const rpc = AdminService.method;

export interface WatchParts {
  readonly feed: SessionFeed;
  readonly infos: SessionInfos;
}

/** The streams of `downlease.admin`. */
export function watchOperations({ feed, infos }: WatchParts): ServerStreamOperation[] {
  const responses = new SessionResponses(infos);
  return [
    serverStreamOperation({
      method: rpc.watchSessions,
      isAdministration: true,
      encode: sharedEncoder(WatchSessionsResponseSchema),
      async *answers(request, _, { over, end }) {
        const filter = sessionFilter(request);
        const onSlow = () => end(new ServiceError("downlease.watch.slow"));
        for await (const step of feed.watch(filter, over, onSlow)) yield await responses.of(step);
      },
    }),
  ];
}

/** Responses of WatchSessions. Those with the same events are one, for all watchers. */
class SessionResponses {
  readonly #infos: SessionInfos;
  readonly #shared = new WeakMap<readonly SessionEvent[], Promise<WatchSessionsResponse>>();

  constructor(infos: SessionInfos) {
    this.#infos = infos;
  }

  of(step: WatchStep): Promise<WatchSessionsResponse> {
    const isUsual = step.isSnapshotComplete && !step.isSnapshotTruncated;
    if (!isUsual) return this.#make(step);
    const existing = this.#shared.get(step.events);
    if (existing !== undefined) return existing;
    const response = this.#make(step);
    this.#shared.set(step.events, response);
    return response;
  }

  async #make({
    events,
    isSnapshotComplete,
    isSnapshotTruncated,
  }: WatchStep): Promise<WatchSessionsResponse> {
    const sessions = await this.#infos.of(events.map(({ record }) => record));
    return create(WatchSessionsResponseSchema, {
      events: events.map(({ kind }, index) => ({ kind: kinds[kind], session: sessions[index]! })),
      isSnapshotComplete,
      isSnapshotTruncated,
    } satisfies MessageInitShape<typeof WatchSessionsResponseSchema>);
  }
}

const kinds = {
  snapshot: Kind.SNAPSHOT,
  created: Kind.CREATED,
  progressed: Kind.PROGRESSED,
  ended: Kind.ENDED,
  expired: Kind.EXPIRED,
  deleted: Kind.DELETED,
} as const satisfies Record<SessionEventKind, Kind>;
