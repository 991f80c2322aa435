import {
  type ChangesListener,
  formatChanges,
  parseChanges,
  type SessionChange,
  type SessionChanges,
  watchPulse,
} from "../../domain/session-changes.ts";
import type { RedisConnection } from "./connection.ts";
import { changesChannel, watchersChannel } from "./keys.ts";
import type { Subscription } from "./subscriber.ts";

/** What is published in place of changes that are missing. */
const missedText = "missed";

/** By when every process has received that somebody watches, in milliseconds: its event loop may be busy. */
const settleMs = 1_000;

/**
 * Changes are published on one channel, that somebody watches on another one, to which every process listens. Nothing of
 * it is kept in Redis.
 */
export class RedisSessionChanges implements SessionChanges {
  isWatched = false;
  readonly #redis: RedisConnection;
  readonly #listeners = new Set<ChangesListener>();
  #watchedUntil = 0;
  #follows = false;
  /** The channel of changes, while this process watches. */
  #changes: Subscription | undefined;
  /** Runs while this process watches, or somebody else does. */
  #pulse: NodeJS.Timeout | undefined;
  #sleep: NodeJS.Timeout | undefined;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  follow(): void {
    if (this.#follows) return;
    this.#follows = true;
    this.#redis.subscriber.listen(watchersChannel, {
      heard: () => this.#heardOfWatch(),
      established: () => {
        // Somebody may be watching, and has missed what happened before.
        this.#heardOfWatch();
        this.#redis.inBackground("announcing missed changes", this.publish(missedText));
      },
    });
  }

  async publish(changes: readonly SessionChange[] | "missed"): Promise<void> {
    const text = changes === missedText ? missedText : formatChanges(changes);
    await this.#redis.guard(this.#redis.client.publish(changesChannel, text));
  }

  watch(listener: ChangesListener): { stop(): void } {
    this.#listeners.add(listener);
    this.#changes ??= this.#redis.subscriber.listen(changesChannel, {
      heard: (text) => this.#heard(text),
      established: () => this.#missed(),
    });
    if (this.#pulse === undefined) {
      const pulse = () =>
        this.#redis.inBackground("announcing a watch", this.#redis.client.publish(watchersChannel, ""));
      this.#pulse = setInterval(pulse, watchPulse.everyMs).unref();
      pulse();
    }
    const settled = setTimeout(() => listener.missed(), settleMs).unref();
    return {
      stop: () => {
        clearTimeout(settled);
        this.#listeners.delete(listener);
        if (this.#listeners.size === 0) this.#stopListening();
      },
    };
  }

  close(): void {
    clearInterval(this.#pulse);
    clearTimeout(this.#sleep);
  }

  #stopListening(): void {
    clearInterval(this.#pulse);
    this.#pulse = undefined;
    if (this.#changes !== undefined) this.#redis.subscriber.leaveChannel(this.#changes);
    this.#changes = undefined;
  }

  /** Counts for a while; then this process publishes nothing more. */
  #heardOfWatch(): void {
    this.isWatched = true;
    this.#watchedUntil = performance.now() + watchPulse.countsMs;
    this.#sleep ??= setTimeout(this.#sleepUnlessWatched, watchPulse.countsMs).unref();
  }

  readonly #sleepUnlessWatched = (): void => {
    const leftMs = this.#watchedUntil - performance.now();
    this.#sleep = leftMs > 0 ? setTimeout(this.#sleepUnlessWatched, leftMs).unref() : undefined;
    this.isWatched = leftMs > 0;
  };

  /** What another release publishes, and cannot be read, is as good as missing. */
  #heard(text: string): void {
    const changes = text === missedText ? undefined : parseChanges(text);
    if (changes === undefined) this.#missed();
    else for (const listener of this.#listeners) listener.changed(changes);
  }

  #missed(): void {
    for (const listener of this.#listeners) listener.missed();
  }
}
