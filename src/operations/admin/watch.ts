import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AdminService,
  SessionEvent_Kind as Kind,
  type WatchSessionsResponse,
  WatchSessionsResponseSchema,
  WatchSettingsResponseSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { sharedEncoder } from "../../calls/encoder.ts";
import { type ServerStreamOperation, serverStreamOperation } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { Settings, SettingsState } from "../../domain/settings.ts";
import type { SessionEvent, SessionEventKind } from "../../session-feed/session-event.ts";
import type { SessionFeed } from "../../session-feed/session-feed.ts";
import { pulseMs, type WatchStep } from "../../session-feed/session-watcher.ts";
import { sessionFilter } from "./session-filter.ts";
import type { SessionInfos } from "./session-info.ts";
import { settingsMessage } from "./settings.ts";

const rpc = AdminService.method;

export interface WatchParts {
  readonly feed: SessionFeed;
  readonly infos: SessionInfos;
  readonly settings: Pick<Settings, "state" | "follow">;
}

/** The streams of `downlease.admin`. */
export function watchOperations({ feed, infos, settings }: WatchParts): ServerStreamOperation[] {
  const responses = new SessionResponses(infos);
  return [
    serverStreamOperation({
      method: rpc.watchSessions,
      isAdministration: true,
      encode: sharedEncoder(WatchSessionsResponseSchema),
      async *answers(request, _, { over, end }) {
        const filter = { ...sessionFilter(request), id: request.id };
        const onSlow = () => end(new ServiceError("downlease.watch.slow"));
        for await (const step of feed.watch(filter, over, onSlow)) yield await responses.of(step);
      },
    }),
    serverStreamOperation({
      method: rpc.watchSettings,
      isAdministration: true,
      async *answers(_request, _caller, { over }) {
        for await (const state of statesOf(settings, over)) {
          yield create(WatchSettingsResponseSchema, { settings: settingsMessage(state) });
        }
      },
    }),
  ];
}

/** The settings now, after each change and from time to time, until `over` aborts; a slow reader gets the latest ones. */
async function* statesOf(settings: WatchParts["settings"], over: AbortSignal): AsyncGenerator<SettingsState> {
  if (over.aborted) return;
  let change = Promise.withResolvers<void>();
  const stop = settings.follow(() => change.resolve());
  over.addEventListener("abort", () => {
    stop();
    change.resolve();
  });
  for (;;) {
    const pulse = setTimeout(() => change.resolve(), pulseMs).unref();
    await change.promise;
    clearTimeout(pulse);
    if (over.aborted) return;
    change = Promise.withResolvers();
    yield settings.state;
  }
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
