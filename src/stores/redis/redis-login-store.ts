import { LRUCache } from "lru-cache";
import { digestOf, isLoginId, newLoginId, trustMs } from "../../domain/login.ts";
import type { Failures, Login, LoginStore, LoginTerms, NewLogin } from "../../domain/login-store.ts";
import type { RedisConnection } from "./connection.ts";
import { revocationChannel } from "./keys.ts";
import {
  addFailureScript,
  closeLoginScript,
  findLoginScript,
  openLoginScript,
  removeFailureScript,
} from "./login-scripts.ts";
import type { Subscription } from "./subscriber.ts";

/** Cached login sessions; about 400 bytes each. */
const maxCached = 10_000;

/**
 * Login sessions in Redis: one hash each, whose TTL is the time that it has left.
 *
 * Look-ups are cached for `trustMs`, so that most calls need not wait, and dropped when any process revokes the login
 * session. The cache is not used while revocations can't be received.
 */
export class RedisLoginStore implements LoginStore {
  readonly #redis: RedisConnection;
  readonly #terms: LoginTerms;
  readonly #trustMs: number;
  readonly #lookUps = new LRUCache<string, LookUp>({ max: maxCached });
  readonly #revocations: Subscription;

  constructor(redis: RedisConnection, terms: LoginTerms) {
    this.#redis = redis;
    this.#terms = terms;
    this.#trustMs = trustMs(terms);
    this.#revocations = redis.subscriber.listen(revocationChannel, {
      heard: (digest) => this.#lookUps.delete(digest),
      established: () => this.#lookUps.clear(),
    });
  }

  /** Whether the cache may be used. */
  get isCacheUsable(): boolean {
    return this.#revocations.isEstablished;
  }

  async open(login: NewLogin): Promise<string> {
    const id = newLoginId();
    await this.#redis.run(openLoginScript, { digest: digestOf(id), login, terms: this.#terms });
    return id;
  }

  find(id: string): Login | undefined | Promise<Login | undefined> {
    if (!isLoginId(id)) return undefined;
    const digest = digestOf(id);
    const lookUp = this.#lookUps.get(digest);
    if (lookUp?.pending !== undefined) return lookUp.pending;
    if (lookUp !== undefined && this.isCacheUsable && performance.now() < lookUp.trustedUntil)
      return lookUp.login;
    return this.#lookUp(digest);
  }

  async close(id: string): Promise<boolean> {
    if (!isLoginId(id)) return false;
    const digest = digestOf(id);
    try {
      return await this.#redis.run(closeLoginScript, { digest });
    } finally {
      // The message arrives later, and perhaps not at all when the outcome is unknown.
      this.#lookUps.delete(digest);
    }
  }

  addFailure(key: string, windowMs: number): Promise<Failures> {
    return this.#redis.run(addFailureScript, { digest: digestOf(key), windowMs });
  }

  removeFailure(key: string): Promise<void> {
    return this.#redis.run(removeFailureScript, { digest: digestOf(key) });
  }

  #lookUp(digest: string): Promise<Login | undefined> {
    const lookUp = new LookUp();
    // Counted from now, not from the reply: the reply may be outdated when it arrives.
    const startedAt = performance.now();
    lookUp.pending = this.#redis.run(findLoginScript, { digest, terms: this.#terms }).then(
      (result) => {
        lookUp.pending = undefined;
        if (result === undefined) {
          this.#forget(digest, lookUp);
          return undefined;
        }
        lookUp.login = result.login;
        lookUp.trustedUntil = startedAt + Math.min(this.#trustMs, result.leftMs);
        return result.login;
      },
      (error: unknown) => {
        this.#forget(digest, lookUp);
        throw error;
      },
    );
    this.#lookUps.set(digest, lookUp);
    return lookUp.pending;
  }

  #forget(digest: string, lookUp: LookUp): void {
    if (this.#lookUps.peek(digest) === lookUp) this.#lookUps.delete(digest);
  }
}

/**
 * A look-up in flight, which concurrent calls share, or its result. A revocation drops it in either state: a result
 * that arrives afterwards goes only to the calls that waited for it.
 */
class LookUp {
  pending: Promise<Login | undefined> | undefined = undefined;
  login: Login | undefined = undefined;
  /** By `performance.now()`. */
  trustedUntil = 0;
}
