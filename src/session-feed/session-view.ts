import type { SessionRecord } from "../domain/session-record-store.ts";

/** A session in the view, and its neighbours in the order in which they were first seen. */
export interface ViewEntry {
  /** Replaced with each change, never changed: watchers may still have to send the one before. */
  readonly record: SessionRecord;
}

class Entry implements ViewEntry {
  record: SessionRecord;
  /** The walk that has seen it last. */
  walk: number;
  isGone = false;
  previous: Entry | undefined;
  next: Entry | undefined = undefined;

  constructor(record: SessionRecord, walk: number, previous: Entry | undefined) {
    this.record = record;
    this.walk = walk;
    this.previous = previous;
  }
}

/** Sessions that expire within so many milliseconds are looked at together. */
const slotMs = 250;

/** Names that many sessions share are kept once, up to this many. */
const maxNames = 10_000;

/** The sessions as they were last seen, in the order in which they were first seen, and when they expire. */
export class SessionView {
  readonly #max: number;
  readonly #entries = new Map<string, Entry>();
  #first: Entry | undefined;
  #last: Entry | undefined;
  /** Ids by the slot of time in which they expire, or an earlier one: a renewal does not move them. */
  readonly #expiring = new Map<number, string[]>();
  #firstSlot = Number.POSITIVE_INFINITY;
  #names = new Map<string, string>();

  /** @param max how many sessions are kept at most; twice as many with those that watchers name */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  get isFull(): boolean {
    return this.#entries.size >= this.#max;
  }

  get hasRoomForNamed(): boolean {
    return this.#entries.size < 2 * this.#max;
  }

  get(id: string): SessionRecord | undefined {
    return this.#entries.get(id)?.record;
  }

  /**
   * Sets a session, or adds it unless the view is full.
   *
   * @param walk that has seen it, or the last one before
   * @param isNamed whether a watcher names it or its owner
   */
  set(record: SessionRecord, walk: number, isNamed = false): void {
    const entry = this.#entries.get(record.id);
    if (entry !== undefined) {
      entry.record = withNamesOf(entry.record, record);
      entry.walk = walk;
    } else if (isNamed ? this.hasRoomForNamed : !this.isFull) {
      const added = new Entry(this.#withSharedNames(record), walk, this.#last);
      if (this.#last === undefined) this.#first = added;
      else this.#last.next = added;
      this.#last = added;
      this.#entries.set(record.id, added);
      this.#expireAt(record.id, record.expiresAt);
    }
  }

  delete(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    const { previous, next } = entry;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    // It keeps its neighbour: a reader may stand on it.
    entry.isGone = true;
  }

  /** The entry after another one, which may be gone by now; the first one after none. Undefined at the end. */
  after(position: ViewEntry | undefined): ViewEntry | undefined {
    let entry = position as Entry | undefined;
    while (entry?.isGone) entry = entry.previous;
    return entry === undefined ? this.#first : entry.next;
  }

  /** Sessions that no walk since that one has seen. */
  *notSeenSince(walk: number): Generator<SessionRecord> {
    for (const { walk: seen, record } of this.#entries.values()) if (seen < walk) yield record;
  }

  /**
   * Ids of sessions whose time is over at `now`. Each is returned again a second later, unless it is deleted or has
   * another time by then.
   */
  takeExpired(now: number): string[] {
    const due = new Set<string>();
    for (; this.#firstSlot * slotMs <= now; this.#firstSlot++) {
      if (this.#expiring.size === 0) {
        this.#firstSlot = Number.POSITIVE_INFINITY;
        break;
      }
      const ids = this.#expiring.get(this.#firstSlot) ?? [];
      this.#expiring.delete(this.#firstSlot);
      for (const id of ids) {
        const expiresAt = this.get(id)?.expiresAt;
        if (expiresAt === undefined) continue;
        if (expiresAt <= now) due.add(id);
        this.#expireAt(id, expiresAt <= now ? now + 1000 : expiresAt);
      }
    }
    return [...due];
  }

  /** @param time milliseconds since the epoch */
  #expireAt(id: string, time: number): void {
    // At the end of the slot its time is over.
    const slot = Math.ceil(time / slotMs);
    const ids = this.#expiring.get(slot);
    if (ids === undefined) this.#expiring.set(slot, [id]);
    else ids.push(id);
    this.#firstSlot = Math.min(this.#firstSlot, slot);
  }

  #withSharedNames(record: SessionRecord): SessionRecord {
    const shared = (name: string) => {
      const known = this.#names.get(name);
      if (known !== undefined) return known;
      if (this.#names.size >= maxNames) this.#names = new Map();
      this.#names.set(name, name);
      return name;
    };
    return {
      ...record,
      owner: shared(record.owner),
      libraryItemId: shared(record.libraryItemId),
      contentVersion: shared(record.contentVersion),
    };
  }
}

/** The record, with the names that are kept already. */
function withNamesOf(before: SessionRecord, record: SessionRecord): SessionRecord {
  const { owner, libraryItemId, contentVersion } = before;
  const isSame =
    owner === record.owner &&
    libraryItemId === record.libraryItemId &&
    contentVersion === record.contentVersion;
  return isSame ? { ...record, owner, libraryItemId, contentVersion } : record;
}
