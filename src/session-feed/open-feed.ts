import type { Backend } from "../domain/backend.ts";
import type { SessionChange, SessionChanges } from "../domain/session-changes.ts";
import type { SessionRecord, SessionRecordPage, SessionRecordStore } from "../domain/session-record-store.ts";
import { EventBatch, isSame } from "./event-batch.ts";
import { type FeedScope, FeedScopes } from "./feed-scope.ts";
import type { SessionEventKind, SessionFilter } from "./session-event.ts";
import { SessionView } from "./session-view.ts";
import type { SessionWatcher, WatchedView } from "./session-watcher.ts";

export interface SessionFeedOptions {
  readonly records: Pick<SessionRecordStore, "page" | "find">;
  readonly changes: Pick<SessionChanges, "watch">;
  /** Announces ends at once, also those that are made before their process knows that somebody watches. */
  readonly watchEnds: Backend["watchEnds"];
  /** How many sessions are kept at most, and as many more that watchers name or whose owners they name; 200,000 by default. */
  readonly maxSessions?: number;
}

/** How often changes of all processes are worked on, and expired sessions are looked for. */
const tickMs = 100;

/** How often all sessions are read again: whatever no announcement has reported is found then. */
const walkMs = 300_000;

/** Pause before a store that did not answer is asked again. */
const retryMs = 500;

/** How many sessions are read at a time; changes wait meanwhile. */
const readLength = 500;

/** Why a session is read: the last change of it, or that its time is over or a walk has not seen it. */
type Reason = SessionChange["kind"] | "walked" | "missing";

/** One life of the feed: from its first watcher to its last. */
export class OpenFeed {
  readonly #view: SessionView;
  readonly #scopes: FeedScopes;
  readonly #records: SessionFeedOptions["records"];
  readonly #subscriptions: readonly { stop(): void }[];
  readonly #timer: NodeJS.Timeout;
  /** By filter: those with the same one share their events. */
  readonly #watchers = new Map<string, Set<SessionWatcher>>();
  #changes: SessionChange[] = [];
  readonly #toRead = new Map<string, Reason>();
  /** Walks that have begun. */
  #walks = 0;
  #pausedUntil = 0;
  #isWorking = false;
  #isClosed = false;

  constructor({ records, changes, watchEnds, maxSessions = 200_000 }: SessionFeedOptions) {
    this.#view = new SessionView(maxSessions);
    this.#scopes = new FeedScopes(this.#view);
    this.#records = records;
    const missed = () => this.#scopes.walkAll();
    const changed = (some: readonly SessionChange[]) => {
      for (const change of some) this.#changes.push(change);
    };
    const ends = watchEnds((id) => changed([{ id, kind: "ended" }]), missed);
    this.#subscriptions = [ends, changes.watch({ changed, missed })];
    this.#timer = setInterval(() => void this.#work(), tickMs).unref();
  }

  /** What a watcher with this filter reads; it has to be added then. */
  enter(filter: SessionFilter): WatchedView {
    const scope = this.#scopes.enter(filter);
    // Not in this turn: the watcher is added first.
    if (!scope.isComplete) setImmediate(() => void this.#work());
    return scope;
  }

  add(watcher: SessionWatcher): void {
    const key = JSON.stringify(watcher.filter);
    const group = this.#watchers.get(key);
    if (group === undefined) this.#watchers.set(key, new Set([watcher]));
    else group.add(watcher);
  }

  /** Returns whether it was the last one. */
  remove(watcher: SessionWatcher): boolean {
    const key = JSON.stringify(watcher.filter);
    const group = this.#watchers.get(key);
    group?.delete(watcher);
    if (group?.size === 0) this.#watchers.delete(key);
    this.#scopes.leave(watcher.filter);
    return this.#watchers.size === 0;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const subscription of this.#subscriptions) subscription.stop();
  }

  /**
   * Everything that changes the view, one step after the other: what a step reads is never older than what the view has.
   * Each step sends its events at once, so that the snapshot of no watcher runs ahead of them.
   */
  async #work(): Promise<void> {
    const now = performance.now();
    if (this.#isWorking || this.#isClosed || now < this.#pausedUntil) return;
    this.#isWorking = true;
    this.#scopes.walkThoseBefore(now - walkMs);
    try {
      do {
        this.#applyChanges();
        for (const id of this.#view.takeExpired(Date.now())) this.#read(id, "missing");
        await this.#readSome();
        await this.#walkOn();
      } while (!this.#isClosed && (this.#scopes.due?.isWalking || this.#toRead.size > 0));
    } catch {
      // The store monitor reports it.
      this.#pausedUntil = performance.now() + retryMs;
    }
    this.#isWorking = false;
  }

  /**
   * Renewals and deletions say all that has to be known; of other changes the session is read. Of a session that would
   * not be kept, only its creation and its end are: with many sessions nearly all changes are renewals.
   */
  #applyChanges(): void {
    const batch = new EventBatch();
    const changes = this.#changes;
    this.#changes = [];
    for (const change of changes) {
      const { id, kind } = change;
      const record = this.#view.get(id);
      const isRoutine = kind === "renewed" || kind === "touched";
      if (record === undefined && isRoutine && !this.#keepsMore) continue;
      if (kind === "renewed" && record?.state === "ACTIVE") {
        const progress = Math.max(record.progress, change.progress);
        const expiresAt = Math.max(record.expiresAt, change.expiresAt);
        this.#see({ ...record, progress, expiresAt }, kind, batch);
      } else if (kind === "deleted") {
        if (record !== undefined) this.#forget(record, "deleted", batch);
      } else {
        this.#read(id, kind);
      }
    }
    this.#send(batch);
  }

  /** Whether a session is kept that nobody names. */
  get #keepsMore(): boolean {
    return this.#scopes.hasAll && !this.#view.isFull;
  }

  #read(id: string, reason: Reason): void {
    // That it was created or has ended says more than what comes with it.
    const before = this.#toRead.get(id);
    if (before === "created" || before === "ended") return;
    this.#toRead.set(id, reason);
  }

  async #readSome(): Promise<void> {
    if (this.#toRead.size === 0) return;
    const some = [...this.#toRead.entries().take(readLength)];
    const records = await this.#records.find(some.map(([id]) => id));
    const batch = new EventBatch();
    for (const [index, [id, reason]] of some.entries()) {
      this.#toRead.delete(id);
      const [record, before] = [records[index], this.#view.get(id)];
      if (record !== undefined) this.#see(record, reason, batch);
      else if (before !== undefined) {
        this.#forget(before, before.expiresAt <= Date.now() ? "expired" : "deleted", batch);
      }
    }
    this.#send(batch);
  }

  /** Reads the next page of a scope that has to be read. */
  async #walkOn(): Promise<void> {
    const scope = this.#scopes.due;
    if (scope === undefined) return;
    if (!scope.isWalking) {
      [scope.mustWalk, scope.isWalking, scope.cursor] = [false, true, undefined];
      scope.walk = ++this.#walks;
    }
    const page = await this.#pageOf(scope);
    const batch = new EventBatch();
    for (const record of page.sessions) this.#see(record, "walked", batch, scope);
    scope.cursor = page.cursor;
    const isCut = page.cursor !== undefined && !this.#hasRoomFor(scope);
    if (page.cursor === undefined || isCut) this.#endWalk(scope, isCut);
    this.#send(batch);
    for (const group of this.#watchers.values()) for (const watcher of group) watcher.wake();
  }

  async #pageOf({ id, owner, cursor }: FeedScope): Promise<SessionRecordPage> {
    if (id === undefined) return this.#records.page({ cursor, owner, maxSessions: readLength });
    const [session] = await this.#records.find([id]);
    return { sessions: session === undefined ? [] : [session] };
  }

  #hasRoomFor({ isNarrow }: FeedScope): boolean {
    return isNarrow ? this.#view.hasRoomForNamed : !this.#view.isFull;
  }

  #endWalk(scope: FeedScope, isCut: boolean): void {
    scope.isWalking = false;
    scope.walkedAt = performance.now();
    scope.isComplete = true;
    scope.isTruncated = isCut;
    if (isCut) return;
    for (const record of this.#view.notSeenSince(scope.walk)) {
      if (scope.has(record)) this.#read(record.id, "missing");
    }
  }

  /** @param scope whose walk has met the session */
  #see(record: SessionRecord, reason: Reason, batch: EventBatch, scope?: FeedScope): void {
    const before = this.#view.get(record.id);
    const isNamed = this.#scopes.isNamed(record);
    if (before !== undefined || isNamed || this.#scopes.hasAll) {
      this.#view.set(record, this.#walks, isNamed);
    }
    if (before !== undefined && isSame(before, record)) return;
    // The snapshot has it.
    if (before === undefined && scope?.isComplete === false) return;
    batch.add({ kind: kindOf(record, before, reason), record, stateBefore: before?.state });
  }

  #forget(record: SessionRecord, kind: "expired" | "deleted", batch: EventBatch): void {
    this.#view.delete(record.id);
    batch.add({ kind, record, stateBefore: record.state });
  }

  #send(batch: EventBatch): void {
    if (batch.isEmpty) return;
    for (const group of this.#watchers.values()) {
      const [{ filter }] = [...group.values().take(1)] as [SessionWatcher];
      for (const events of batch.partsFor(filter)) {
        for (const watcher of group) watcher.add(events);
      }
    }
  }
}

function kindOf(record: SessionRecord, before: SessionRecord | undefined, reason: Reason): SessionEventKind {
  const isActive = record.state === "ACTIVE";
  if (before === undefined) {
    if (reason === "ended" && !isActive) return "ended";
    return reason === "renewed" || reason === "touched" ? "progressed" : "created";
  }
  if (before.state === record.state) return "progressed";
  return isActive ? "created" : "ended";
}
