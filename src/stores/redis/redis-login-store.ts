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

/** Login sessions at hand; about 400 bytes each. */
const atHand = 10_000;

/**
 * Login sessions in Redis. One hash each, whose TTL is what it has left.
 *
 * What was looked up is at hand for `trustMs`, so that most calls wait for nothing, and dropped when it is revoked by
 * any process. Nothing at hand is used while revocations can't be heard.
 */
export class RedisLoginStore implements LoginStore {
  readonly #redis: RedisConnection;
  readonly #terms: LoginTerms;
  readonly #trustMs: number;
  readonly #lookUps = new LRUCache<string, LookUp>({ max: atHand });
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

  /** Whether what was looked up a moment ago is answered at once. */
  get isAtHand(): boolean {
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
    if (lookUp?.underWay !== undefined) return lookUp.underWay;
    if (lookUp !== undefined && this.isAtHand && performance.now() < lookUp.trustedUntil) return lookUp.login;
    return this.#lookUp(digest);
  }

  async close(id: string): Promise<boolean> {
    if (!isLoginId(id)) return false;
    const digest = digestOf(id);
    try {
      return await this.#redis.run(closeLoginScript, { digest });
    } finally {
      // The message comes later, and when the outcome is not known perhaps not at all.
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
    // From now on, not from the answer: what Redis says may be outdated when it arrives.
    const startedAt = performance.now();
    lookUp.underWay = this.#redis.run(findLoginScript, { digest, terms: this.#terms }).then(
      (found) => {
        lookUp.underWay = undefined;
        if (found === undefined) {
          this.#forget(digest, lookUp);
          return undefined;
        }
        lookUp.login = found.login;
        lookUp.trustedUntil = startedAt + Math.min(this.#trustMs, found.leftMs);
        return found.login;
      },
      (error: unknown) => {
        this.#forget(digest, lookUp);
        throw error;
      },
    );
    this.#lookUps.set(digest, lookUp);
    return lookUp.underWay;
  }

  #forget(digest: string, lookUp: LookUp): void {
    if (this.#lookUps.peek(digest) === lookUp) this.#lookUps.delete(digest);
  }
}

/**
 * A look-up under way, which is shared, or its result. A revocation drops it in either state: a result that comes in
 * afterwards is told to those who waited for it, and to nobody else.
 */
class LookUp {
  underWay: Promise<Login | undefined> | undefined = undefined;
  login: Login | undefined = undefined;
  /** By `performance.now()`. */
  trustedUntil = 0;
}
