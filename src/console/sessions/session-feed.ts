import type { MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import {
  AdminService,
  SessionEvent_Kind as Kind,
  type SessionEvent,
  type WatchSessionsRequestSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { reportOutcome } from "../shell/connection.ts";
import { isPassing } from "../shell/passing.ts";
import { transport } from "../shell/transport.ts";
import { Arrangement } from "./arrangement.ts";
import { type ListView, wholeList } from "./session-view.ts";
import { nextSession, type WatchedSession } from "./watched-session.ts";

/** The sessions at one moment; a new object for each change. */
export interface FeedView {
  /** Those that match the list's view, in its order. */
  readonly rows: readonly WatchedSession[];
  /** Number of all. */
  readonly count: number;
  /** Whether it is there now. */
  readonly has: (id: string) => boolean;
  readonly isComplete: boolean;
  readonly isTruncated: boolean;
  readonly error: unknown;
}

export const emptyFeed: FeedView = {
  rows: [],
  count: 0,
  has: () => false,
  isComplete: false,
  isTruncated: false,
  error: undefined,
};

export type WatchRequest = MessageInitShape<typeof WatchSessionsRequestSchema>;

/** How long a session that is gone stays in view, in milliseconds. */
const afterglowMs = 5_000;
/** How often the view changes at most, in milliseconds. */
const frameMs = 200;
const maxRetryMs = 5_000;

const admin = createClient(AdminService, transport);

/** Follows sessions over one stream, which is opened again when it breaks. Watching never renews a lease. */
export class SessionFeed {
  view: FeedView = emptyFeed;
  readonly #request: WatchRequest;
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #sessions = new Map<string, WatchedSession>();
  /** Ids of those that are gone, oldest first, with the time when they leave the view. */
  readonly #leaving = new Map<string, number>();
  /** Sessions of the stream before that this one has not reported yet. */
  #unconfirmed = new Set<string>();
  #arrangement = new Arrangement(wholeList, this.#sessions);
  /** Since the last view. */
  #changes = new Map<string, WatchedSession | undefined>();
  #isComplete = false;
  #isTruncated = false;
  #error: unknown;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(request: WatchRequest) {
    this.#request = request;
  }

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

  /** Shows other sessions, or in another order, at once. */
  arrange(view: ListView): void {
    this.#changes.clear();
    this.#arrangement = new Arrangement(view, this.#sessions);
    this.#show();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    for (let attempts = 0; !signal.aborted; attempts++) {
      // What was seen last stays until there is something newer.
      this.#unconfirmed = new Set(this.#sessions.keys());
      let isComplete = false;
      try {
        for await (const response of admin.watchSessions(this.#request, { signal })) {
          attempts = 0;
          reportOutcome("well");
          this.#error = undefined;
          for (const event of response.events) this.#apply(event);
          this.#isTruncated = response.isSnapshotTruncated;
          if (response.isSnapshotComplete && !isComplete) {
            isComplete = true;
            this.#complete();
          }
          this.#schedule();
        }
      } catch (error) {
        if (signal.aborted) return;
        if (isPassing(error)) reportOutcome("lost");
        else this.#error = ConnectError.from(error);
        this.#schedule();
      }
      await new Promise((resolve) => setTimeout(resolve, Math.min(maxRetryMs, 250 * 2 ** attempts)));
    }
  }

  #apply({ kind, session }: SessionEvent): void {
    if (session === undefined) return;
    const { id } = session;
    const before = this.#sessions.get(id);
    const now = performance.now();
    const gone = kind === Kind.EXPIRED ? "expired" : kind === Kind.DELETED ? "deleted" : undefined;
    this.#unconfirmed.delete(id);
    this.#set(id, nextSession(session, gone, before, now));
    this.#leaving.delete(id);
    if (gone !== undefined) this.#leaving.set(id, now + afterglowMs);
  }

  #complete(): void {
    this.#isComplete = true;
    for (const id of this.#unconfirmed) this.#set(id, undefined);
    this.#unconfirmed = new Set();
  }

  #set(id: string, session: WatchedSession | undefined): void {
    const before = this.#sessions.get(id);
    if (!this.#changes.has(id)) this.#changes.set(id, before);
    if (session === undefined) this.#sessions.delete(id);
    else this.#sessions.set(id, session);
  }

  /** At most one view a frame, however many responses there are. */
  #schedule(afterMs = frameMs): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#removeOld();
      this.#arrangement.update(this.#sessions, this.#changes);
      this.#changes.clear();
      this.#show();
      if (this.#leaving.size > 0) this.#schedule(1_000);
    }, afterMs);
  }

  #removeOld(): void {
    const now = performance.now();
    for (const [id, time] of this.#leaving) {
      if (time > now) break;
      this.#leaving.delete(id);
      this.#set(id, undefined);
    }
  }

  #show(): void {
    this.view = {
      rows: this.#arrangement.rows,
      count: this.#sessions.size,
      has: (id) => this.#sessions.has(id),
      isComplete: this.#isComplete,
      isTruncated: this.#isTruncated,
      error: this.#error,
    };
    for (const listener of this.#listeners) listener();
  }
}
