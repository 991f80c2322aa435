import { randomBytes } from "node:crypto";
import type { LinkKey, LinkKeyStore } from "../domain/link-key-store.ts";

/** The keys of links. */
export interface LinkKeys {
  /** The key to sign with. Rejects with ServiceError when it can't be had. */
  signing(): Promise<LinkKey>;

  /** The key of this id, or undefined. Rejects with ServiceError when it can't be had. */
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
  /** How long the store is trusted to keep what it kept, in milliseconds. */
  readonly trustMs?: number;
  /** Pause between two looks for keys that are not known, in milliseconds. */
  readonly pauseMs?: number;
}

/** Keys that stay known when the store has others: as many as a store can lose while a link is of use. */
const mostKnown = 16;

/**
 * One key that all processes with the same store agree on. Now and then the store is shown the key again, so that a
 * store that has lost its memory gets it back, and all go on with the key that the store has then. What was once a key
 * still verifies.
 *
 * A link with a key that is not known makes the store be asked, but for all such links together only every now and
 * then: until then they wait.
 */
export class SharedLinkKeys implements LinkKeys {
  readonly #store: LinkKeyStore;
  readonly #trustMs: number;
  readonly #pauseMs: number;
  /** By id, the current one last. */
  readonly #known = new Map<string, LinkKey>();
  #current: LinkKey = newLinkKey();
  #askedAt = Number.NEGATIVE_INFINITY;
  #answer: Promise<LinkKey> | undefined;
  #look: Promise<LinkKey> | undefined;

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
      if (this.#known.size === 0) throw reason;
      return this.#current;
    }
  }

  async find(keyId: string): Promise<LinkKey | undefined> {
    const known = this.#known.get(keyId);
    if (known === undefined) {
      await this.#askSoon();
      return this.#known.get(keyId);
    }
    // The link is good whatever comes of it.
    if (!this.#isTrusted) this.#ask().catch(() => {});
    return known;
  }

  get #isTrusted(): boolean {
    return this.#known.size > 0 && performance.now() - this.#askedAt < this.#trustMs;
  }

  /** Callers at the same time share one question. */
  #ask(): Promise<LinkKey> {
    this.#answer ??= this.#agree().finally(() => {
      this.#answer = undefined;
    });
    return this.#answer;
  }

  async #agree(): Promise<LinkKey> {
    const askedAt = performance.now();
    // Also of a question that fails: a store that is down is not asked for each link that is good anyway.
    this.#askedAt = askedAt;
    const key = await this.#store.linkKey(this.#current);
    this.#current = key;
    this.#known.delete(key.id);
    this.#known.set(key.id, key);
    for (const id of this.#known.keys()) {
      if (this.#known.size <= mostKnown) break;
      this.#known.delete(id);
    }
    return key;
  }

  #askSoon(): Promise<LinkKey> {
    const waitMs = this.#askedAt + this.#pauseMs - performance.now();
    if (waitMs <= 0) return this.#ask();
    this.#look ??= new Promise<void>((resolve) => setTimeout(resolve, waitMs).unref())
      .then(() => this.#ask())
      .finally(() => {
        this.#look = undefined;
      });
    return this.#look;
  }
}

function newLinkKey(): LinkKey {
  return { id: randomBytes(6).toString("base64url"), secret: randomBytes(32) };
}
