import { ConnectError, createClient } from "@connectrpc/connect";
import { useEffect, useState, useSyncExternalStore } from "react";
import {
  AdminService,
  SessionEvent_Kind as Kind,
  type SessionEvent,
  type SessionInfo,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { reportOutcome } from "../shell/connection.ts";
import { isPassing } from "../shell/queries.ts";
import { transport } from "../shell/transport.ts";

/** A session, and how it has changed while it was watched. */
export interface WatchedSession {
  readonly info: SessionInfo;
  /** Whether it is gone: expired or deleted. */
  readonly gone: "expired" | "deleted" | undefined;
  /** Bytes a second, over the last reports. */
  readonly rate: number;
  /** When this page has heard of it last; milliseconds of the page's clock. */
  readonly seenAt: number;
}

export interface FeedView {
  readonly sessions: ReadonlyMap<string, WatchedSession>;
  readonly isComplete: boolean;
  readonly isTruncated: boolean;
  readonly error: unknown;
}

const empty: FeedView = { sessions: new Map(), isComplete: false, isTruncated: false, error: undefined };

/** How long a session that is gone stays in view, in milliseconds. */
const afterglowMs = 5_000;
/** How often the view changes at most, in milliseconds: the more sessions, the longer they take to be arranged. */
const frameMs = (sessions: number) => Math.min(2_000, Math.max(200, sessions / 50));
const maxRetryMs = 5_000;

const admin = createClient(AdminService, transport);

/** Follows all sessions over one stream, which is opened again when it breaks. Watching never renews a lease. */
export class SessionFeed {
  view: FeedView = empty;
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  #sessions = new Map<string, WatchedSession>();
  #isComplete = false;
  #isTruncated = false;
  #error: unknown;
  #timer: number | undefined;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#abort.abort();
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    for (let attempts = 0; !signal.aborted; attempts++) {
      const before = this.#sessions;
      try {
        this.#sessions = new Map();
        this.#isComplete = false;
        for await (const response of admin.watchSessions({}, { signal })) {
          attempts = 0;
          reportOutcome("well");
          this.#error = undefined;
          for (const event of response.events) this.#apply(event, before);
          if (response.isSnapshotComplete) this.#isComplete = true;
          if (response.isSnapshotTruncated) this.#isTruncated = true;
          this.#show();
        }
      } catch (error) {
        if (signal.aborted) return;
        // What was seen last stays until there is something newer.
        if (!this.#isComplete) this.#sessions = before;
        if (isPassing(error)) reportOutcome("lost");
        else this.#error = ConnectError.from(error);
        this.#show();
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(maxRetryMs, 250 * 2 ** attempts)));
    }
  }

  #apply({ kind, session }: SessionEvent, before: ReadonlyMap<string, WatchedSession>): void {
    if (session === undefined) return;
    const { id } = session;
    const last = this.#sessions.get(id) ?? before.get(id);
    const seenAt = performance.now();
    const gone = kind === Kind.EXPIRED ? "expired" : kind === Kind.DELETED ? "deleted" : undefined;
    this.#sessions.set(id, { info: session, gone, rate: rateOf(session, last, seenAt), seenAt });
    if (gone === undefined) return;
    setTimeout(() => {
      if (this.#sessions.get(id)?.gone !== undefined) this.#sessions.delete(id);
      this.#show();
    }, afterglowMs);
  }

  /** At most one view a frame, however many responses there are. */
  #show(): void {
    this.#timer ??= window.setTimeout(() => {
      this.#timer = undefined;
      this.view = {
        sessions: new Map(this.#sessions),
        isComplete: this.#isComplete,
        isTruncated: this.#isTruncated,
        error: this.#error,
      };
      for (const listener of this.#listeners) listener();
    }, frameMs(this.#sessions.size));
  }
}

function rateOf({ bytesSent }: SessionInfo, last: WatchedSession | undefined, now: number): number {
  if (last === undefined || bytesSent === last.info.bytesSent) return last?.rate ?? 0;
  return Number(bytesSent - last.info.bytesSent) / Math.max(0.2, (now - last.seenAt) / 1000);
}

/** All sessions, live, for as long as the component is there. Only operators may. */
export function useSessionFeed(isEnabled: boolean): FeedView {
  const [feed, setFeed] = useState<SessionFeed>();
  useEffect(() => {
    if (!isEnabled) return;
    const opened = new SessionFeed();
    setFeed(opened);
    opened.start();
    return () => opened.stop();
  }, [isEnabled]);
  return useSyncExternalStore(feed?.subscribe ?? noSubscription, () => feed?.view ?? empty);
}

const noSubscription = () => () => {};
