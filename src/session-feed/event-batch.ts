import type { SessionRecord } from "../domain/session-record-store.ts";
import { bytesOf, concerns, type SessionEvent, type SessionFilter } from "./session-event.ts";
import type { SessionEvents } from "./session-watcher.ts";

/** Bounds of the events that are sent together. */
const maxTogether = 500;
const maxBytesTogether = 2 ** 18;

/** Events of one moment, one for each session. */
export class EventBatch {
  readonly #events = new Map<string, SessionEvent>();

  get isEmpty(): boolean {
    return this.#events.size === 0;
  }

  add(event: SessionEvent): void {
    const { id } = event.record;
    const before = this.#events.get(id);
    this.#events.set(id, before === undefined ? event : { ...event, stateBefore: before.stateBefore });
  }

  /** Those that concern a filter. */
  *partsFor(filter: SessionFilter): Generator<SessionEvents> {
    let events: SessionEvent[] = [];
    let bytes = 0;
    for (const event of this.#events.values()) {
      if (!concerns(filter, event)) continue;
      events.push(event);
      bytes += bytesOf(event.record);
      if (events.length < maxTogether && bytes < maxBytesTogether) continue;
      yield { events, bytes };
      events = [];
      bytes = 0;
    }
    if (events.length > 0) yield { events, bytes };
  }
}

/** Times of two readings may differ by so many milliseconds without a renewal in between, where clocks are compared. */
const sameTimeMs = 100;

/** Whether two readings of a session are of the same state. */
export function isSame(a: SessionRecord, b: SessionRecord): boolean {
  return (
    a.state === b.state &&
    a.progress === b.progress &&
    Math.abs(a.expiresAt - b.expiresAt) < sameTimeMs &&
    a.bytesSent === b.bytesSent &&
    a.clientAddress === b.clientAddress &&
    a.errorMessage === b.errorMessage &&
    a.contentVersion === b.contentVersion &&
    a.owner === b.owner
  );
}
