import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  SessionEvent_Kind as Kind,
  type SessionInfo,
  type WatchSessionsResponse,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { momentOf } from "../../client/numbers.ts";
import type { Task } from "../run.ts";
import type { ServerClock } from "../sessions/server-clock.ts";
import type { SessionFilter } from "./session-filter.ts";

/** The server sends something three times a minute. One that is silent for longer, in milliseconds, is lost. */
const silentMs = 60_000;

interface Following {
  readonly filter: SessionFilter;
  /** Maximum number of sessions of a value. */
  readonly limit: number;
  readonly clock: ServerClock;
}

/**
 * The sessions of a filter: once all are known, and after each change; also at the interval, because ages change by
 * themselves. Throws ConnectError when the stream ends.
 */
export async function* followSessions(
  {
    server,
    call,
    flags,
    output,
  }: Pick<Task<{ readonly interval: number }>, "server" | "call" | "flags" | "output">,
  { filter: { minAgeSeconds, ...request }, limit, clock }: Following,
): AsyncGenerator<readonly SessionInfo[]> {
  const over = new AbortController();
  const signal = AbortSignal.any([call.signal, over.signal]);
  const onHeader = (headers: Headers) => clock.set(headers.get("date"));
  const sessions = new Sessions(request.states);
  const responses = server.admin.watchSessions(request, { signal, onHeader })[Symbol.asyncIterator]();
  const nextResponse = () => {
    const promise = responses.next();
    // The last one is not waited for when the command ends.
    promise.catch(() => {});
    return promise;
  };
  try {
    let next = nextResponse();
    let heardAt = performance.now();
    while (!signal.aborted) {
      const result = await Promise.race([next, delay(flags.interval * 1000, undefined, { signal })]);
      if (result === undefined) {
        if (performance.now() - heardAt >= silentMs) throw lost("the server sends nothing any more");
      } else if (result.done) {
        throw lost("the server has ended the watch");
      } else {
        next = nextResponse();
        heardAt = performance.now();
        if (sessions.apply(result.value)) output.note("there are more sessions than the server watches");
      }
      if (sessions.isComplete) yield sessions.list(limit, minAgeSeconds, clock);
    }
  } finally {
    over.abort();
  }
}

function lost(message: string): ConnectError {
  return new ConnectError(message, Code.Unavailable);
}

/** What is known of the sessions. */
class Sessions {
  isComplete = false;
  readonly #states: SessionFilter["states"];
  readonly #byId = new Map<string, SessionInfo>();

  constructor(states: SessionFilter["states"]) {
    this.#states = states;
  }

  /** Returns whether all that can be known is known now, and that is not all there is. */
  apply({ events, isSnapshotComplete, isSnapshotTruncated }: WatchSessionsResponse): boolean {
    for (const { kind, session } of events) {
      if (session === undefined) continue;
      const isGone = kind === Kind.EXPIRED || kind === Kind.DELETED;
      const isMeant = this.#states === undefined || this.#states.includes(session.state);
      if (isGone || !isMeant) this.#byId.delete(session.id);
      else this.#byId.set(session.id, session);
    }
    const isNews = isSnapshotComplete && isSnapshotTruncated && !this.isComplete;
    this.isComplete ||= isSnapshotComplete;
    return isNews;
  }

  list(limit: number, minAgeSeconds: number | undefined, clock: ServerClock): SessionInfo[] {
    const isOld = ({ createdTime }: SessionInfo) => {
      if (minAgeSeconds === undefined) return true;
      const created = momentOf(createdTime);
      return created !== undefined && -clock.until(created) >= minAgeSeconds * 1000;
    };
    return [...this.#byId.values().filter(isOld).take(limit)];
  }
}
