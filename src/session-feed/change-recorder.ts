import type { SessionChange, SessionChanges } from "../domain/session-changes.ts";

/** How long changes are collected before they are published, in milliseconds. */
const collectMs = 250;

/** How many sessions' changes are collected at most; beyond it those that watch read all sessions again. */
const maxCollected = 50_000;

/** How many changes are published together at most: some tens of kilobytes. */
const maxTogether = 500;

/** Collects the changes that this process makes, one for each session, and publishes them. */
export class ChangeRecorder {
  readonly #changes: SessionChanges;
  #collected = new Map<string, SessionChange>();
  #hasLost = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(changes: SessionChanges) {
    this.#changes = changes;
    changes.follow();
  }

  /** Whether changes have to be recorded. */
  get isWatched(): boolean {
    return this.#changes.isWatched;
  }

  record(change: SessionChange): void {
    if (this.#isClosed) return;
    const before = this.#collected.get(change.id);
    if (before === undefined && this.#collected.size >= maxCollected) this.#hasLost = true;
    else this.#collected.set(change.id, before === undefined ? change : merged(before, change));
    this.#timer ??= setTimeout(() => void this.#publish(), collectMs).unref();
  }

  /** Publishes what is collected. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#publish();
  }

  async #publish(): Promise<void> {
    const changes = [...this.#collected.values()];
    this.#collected = new Map();
    try {
      for (let start = 0; start < changes.length; start += maxTogether) {
        await this.#changes.publish(changes.slice(start, start + maxTogether));
      }
      if (this.#hasLost) await this.#changes.publish("missed");
      this.#hasLost = false;
    } catch {
      // The store monitor reports it.
      this.#hasLost = true;
    }
    const isDue = this.#collected.size > 0 || (this.#hasLost && this.isWatched);
    this.#timer =
      isDue && !this.#isClosed ? setTimeout(() => void this.#publish(), collectMs).unref() : undefined;
  }
}

/** What two changes of one session are together: the last one, but a weaker one adds nothing. */
function merged(before: SessionChange, change: SessionChange): SessionChange {
  return strength[change.kind] < strength[before.kind] ? before : change;
}

const strength = { renewed: 0, touched: 1, created: 2, ended: 2, deleted: 2 } as const;
