import { randomBytes } from "node:crypto";
import type { LinkKey, LinkKeyStore } from "../domain/link-key-store.ts";

/** The keys that sign links. Both methods reject with ServiceError when the keys are unavailable. */
export interface LinkKeys {
  /** The key to sign with. */
  signing(): Promise<LinkKey>;

  /** The key with this id, or undefined. */
  find(keyId: string): Promise<LinkKey | undefined>;
}

/** @param keys the first one signs, each one verifies; not empty */
export function fixedLinkKeys(keys: readonly LinkKey[]): LinkKeys {
  return {
    signing: async () => keys[0]!,
    find: async (keyId) => keys.find(({ id }) => id === keyId),
  };
}

export interface SharedLinkKeysTimes {
  /** How long the current key is used before the store is asked again whether it is current, in milliseconds. */
  readonly trustMs?: number;
  /** Minimum pause between two requests to the store for unknown keys, in milliseconds. */
  readonly pauseMs?: number;
}

/** Keys that are remembered: as many as a store can lose while a link is of use. */
const maxRemembered = 16;

/**
 * One key that all processes with the same store agree on. Every `trustMs` the key is offered to the store again: a
 * store that has lost its data gets the key back, and all processes continue with the key that the store then has. Keys
 * of before go on verifying.
 *
 * A link with an unknown key makes the store be asked, for all such links together at most once every `pauseMs`; until
 * then the links wait.
 */
export class SharedLinkKeys implements LinkKeys {
  readonly #store: LinkKeyStore;
  readonly #trustMs: number;
  readonly #pauseMs: number;
  /** By id, the current key last. */
  readonly #keys = new Map<string, LinkKey>();
  #current: LinkKey = newLinkKey();
  #askedAt = Number.NEGATIVE_INFINITY;
  #answer: Promise<LinkKey> | undefined;
  #laterAnswer: Promise<LinkKey> | undefined;

  constructor(store: LinkKeyStore, { trustMs = 5_000, pauseMs = 250 }: SharedLinkKeysTimes = {}) {
    this.#store = store;
    this.#trustMs = trustMs;
    this.#pauseMs = pauseMs;
  }

  async signing(): Promise<LinkKey> {
    if (this.#isTrusted) return this.#current;
    try {
      return await this.#ask();
    } catch (reason) {
      if (this.#keys.size === 0) throw reason;
      return this.#current;
    }
  }

  async find(keyId: string): Promise<LinkKey | undefined> {
    const key = this.#keys.get(keyId);
    if (key === undefined) {
      await this.#askLater();
      return this.#keys.get(keyId);
    }
    // The link is good even if this fails.
    if (!this.#isTrusted) this.#ask().catch(() => {});
    return key;
  }

  get #isTrusted(): boolean {
    return this.#keys.size > 0 && performance.now() - this.#askedAt < this.#trustMs;
  }

  /** Concurrent callers share one request. */
  #ask(): Promise<LinkKey> {
    this.#answer ??= this.#agree().finally(() => {
      this.#answer = undefined;
    });
    return this.#answer;
  }

  async #agree(): Promise<LinkKey> {
    // Also set when the request fails: a store that is down is not asked for each link that is good anyway.
    this.#askedAt = performance.now();
    const key = await this.#store.linkKey(this.#current);
    this.#current = key;
    this.#keys.delete(key.id);
    this.#keys.set(key.id, key);
    for (const id of this.#keys.keys()) {
      if (this.#keys.size <= maxRemembered) break;
      this.#keys.delete(id);
    }
    return key;
  }

  /** Asks when the pause since the last request is over. */
  #askLater(): Promise<LinkKey> {
    if (this.#laterAnswer !== undefined) return this.#laterAnswer;
    const waitMs = this.#askedAt + this.#pauseMs - performance.now();
    if (waitMs <= 0) return this.#ask();
    this.#laterAnswer = new Promise<void>((resolve) => setTimeout(resolve, waitMs).unref())
      .then(() => this.#ask())
      .finally(() => {
        this.#laterAnswer = undefined;
      });
    return this.#laterAnswer;
  }
}

function newLinkKey(): LinkKey {
  return { id: randomBytes(6).toString("base64url"), secret: randomBytes(32) };
}
