import { LRUCache } from "lru-cache";
import { ServiceError } from "../domain/errors.ts";

/** How long a result may be used while the storage does not answer. */
const maxOutageMs = 3_600_000;

export interface RecentLooksOptions<T> {
  /** How long a result counts; 0 to look each time. */
  readonly freshMs: number;
  /** Size of a result, at least 1; the sum over all is at most `maxSize`. */
  sizeOf(value: T): number;
  readonly maxSize: number;
}

interface Look<T> {
  readonly value: T;
  readonly lookedAt: number;
  /** The next look is due then. */
  dueAt: number;
}

/**
 * The latest results of looks at a storage, each by its key. A result counts for a while, and up to an hour longer as long
 * as the storage is unavailable, so that what is cached of its contents can be used meanwhile. Callers share a look.
 */
export class RecentLooks<T> {
  readonly #freshMs: number;
  readonly #looks: LRUCache<string, Look<T>>;
  readonly #running = new Map<string, Promise<T | undefined>>();

  constructor({ freshMs, sizeOf, maxSize }: RecentLooksOptions<T>) {
    this.#freshMs = freshMs;
    this.#looks = new LRUCache({ maxSize, sizeCalculation: ({ value }) => sizeOf(value) });
  }

  /**
   * @param look gives undefined when there is nothing, which does not count for later
   * @param suits whether a result that is not new will do
   */
  get(
    key: string,
    look: () => Promise<T | undefined>,
    suits: (value: T) => boolean = () => true,
  ): Promise<T | undefined> {
    if (this.#freshMs === 0) return look();
    const latest = this.#looks.get(key);
    if (latest !== undefined && performance.now() < latest.dueAt && suits(latest.value))
      return Promise.resolve(latest.value);
    const running = this.#running.get(key) ?? this.#look(key, look).finally(() => this.#running.delete(key));
    this.#running.set(key, running);
    return running;
  }

  forget(key: string): void {
    this.#looks.delete(key);
  }

  async #look(key: string, look: () => Promise<T | undefined>): Promise<T | undefined> {
    const lookedAt = performance.now();
    try {
      const value = await look();
      if (value === undefined) this.#looks.delete(key);
      else this.#looks.set(key, { value, lookedAt, dueAt: lookedAt + this.#freshMs });
      return value;
    } catch (error) {
      const latest = this.#looks.get(key);
      const isOutage = error instanceof ServiceError && error.messageId === "downlease.content.unavailable";
      if (latest === undefined || !isOutage || lookedAt > latest.lookedAt + maxOutageMs) throw error;
      latest.dueAt = performance.now() + this.#freshMs;
      return latest.value;
    }
  }
}
