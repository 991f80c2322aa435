import { Turns } from "../domain/turns.ts";
import { bytesOf, matches, type SessionEvent, type SessionFilter } from "./session-event.ts";
import type { SessionView, ViewEntry } from "./session-view.ts";

/** Events that are sent together. */
export interface SessionEvents {
  readonly events: readonly SessionEvent[];
  /** About how many bytes they take in an answer. */
  readonly bytes: number;
}

/** What a watcher receives. */
export interface WatchStep extends Pick<SessionEvents, "events"> {
  /** Whether all sessions that existed at the beginning have been received. */
  readonly isSnapshotComplete: boolean;
  /** Whether there are too many sessions to receive them all. */
  readonly isSnapshotTruncated: boolean;
}

/** About how many bytes may wait for a watcher, unless they are of one change of many sessions. */
const maxPendingBytes = 2 * 2 ** 20;

/**
 * A watcher receives something at least so often, in milliseconds, if only an empty step: otherwise proxies take its
 * connection for dead, and a client does not notice one that is.
 */
export const pulseMs = 20_000;

/** Bounds of a part of the snapshot, and of how many sessions are looked at for it. */
const partBytes = 32_768;
const partLooks = 2_000;

/** What a watcher reads of the feed. */
export interface WatchedView {
  readonly view: Pick<SessionView, "after">;
  /** Whether all sessions of the store have been seen. */
  readonly isComplete: boolean;
  /** Whether there are too many sessions to see them all. */
  readonly isTruncated: boolean;
}

/** Snapshots of all watchers are made in turns, so that calls are served between their parts. */
const turns = new Turns();

/**
 * The events for one watcher: those that it has to read soon. A part of the snapshot is made when no event waits, of
 * the sessions as they are then, so that an event is never followed by an older state.
 */
export class SessionWatcher {
  readonly filter: SessionFilter;
  readonly #feed: WatchedView;
  readonly #onSlow: () => void;
  readonly #over: AbortSignal;
  #pending: SessionEvents[] = [];
  #pendingBytes = 0;
  #isSnapshotComplete = false;
  /** Where the snapshot has come to. */
  #position: ViewEntry | undefined;
  #isWoken = false;
  #wake: (() => void) | undefined;

  /** @param onSlow called once when more waits than may; nothing is kept from then on */
  constructor(filter: SessionFilter, feed: WatchedView, over: AbortSignal, onSlow: () => void) {
    this.filter = filter;
    this.#feed = feed;
    this.#over = over;
    this.#onSlow = onSlow;
    over.addEventListener("abort", () => {
      this.#pending = [];
      this.wake();
    });
  }

  /** Adds events that the filter matches. */
  add(events: SessionEvents): void {
    if (this.#over.aborted) return;
    if (this.#pending.length > 0 && this.#pendingBytes + events.bytes > maxPendingBytes) {
      this.#onSlow();
      return;
    }
    this.#pending.push(events);
    this.#pendingBytes += events.bytes;
    this.wake();
  }

  /** To be called when the view has grown, or is complete. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Until `over` aborts. */
  async *steps(): AsyncGenerator<WatchStep> {
    while (!this.#over.aborted) {
      this.#isWoken = false;
      const events = this.#pending.shift();
      if (events !== undefined) {
        this.#pendingBytes -= events.bytes;
        yield this.#step(events.events);
      } else {
        const part = this.#isSnapshotComplete ? "wait" : await turns.run(() => this.#part());
        if (part === "wait") {
          if ((await this.#nextWake()) === "pulse") yield this.#step([]);
        } else if (part !== undefined) yield part;
      }
    }
  }

  #step(events: readonly SessionEvent[]): WatchStep {
    const isSnapshotComplete = this.#isSnapshotComplete;
    return { events, isSnapshotComplete, isSnapshotTruncated: isSnapshotComplete && this.#feed.isTruncated };
  }

  /** The next part of the snapshot, if there is one; an event that waits goes first. */
  #part(): WatchStep | "wait" | undefined {
    if (this.#pending.length > 0) return undefined;
    const events: SessionEvent[] = [];
    let isAtEnd = false;
    let bytes = 0;
    for (let looks = 0; looks < partLooks && bytes < partBytes; looks++) {
      const entry = this.#feed.view.after(this.#position);
      if (entry === undefined) {
        isAtEnd = true;
        break;
      }
      this.#position = entry;
      const { record } = entry;
      if (!matches(this.filter, record)) continue;
      events.push({ kind: "snapshot", record });
      bytes += bytesOf(record);
    }
    if (isAtEnd && this.#feed.isComplete) {
      this.#isSnapshotComplete = true;
      this.#position = undefined;
      return this.#step(events);
    }
    if (events.length > 0) return this.#step(events);
    return isAtEnd ? "wait" : undefined;
  }

  #nextWake(): Promise<"woken" | "pulse"> {
    if (this.#over.aborted || this.#isWoken) return Promise.resolve("woken");
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pulseMs, "pulse").unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve("woken");
      };
    });
  }
}
