import { LRUCache } from "lru-cache";
import { digestOf, isLoginId, newLoginId, trustMs } from "../../domain/login.ts";
import type {
  Failures,
  Login,
  LoginPageRequest,
  LoginRecord,
  LoginRecordPage,
  LoginStore,
  LoginTerms,
  NewLogin,
} from "../../domain/login-store.ts";
import { Turns } from "../../domain/turns.ts";
import type { RedisConnection } from "./connection.ts";
import { KeyScan, maxCount } from "./key-scan.ts";
import { pageOf } from "./key-walk.ts";
import { loginKeys, revocationChannel } from "./keys.ts";
import {
  addFailureScript,
  closeLoginScript,
  findLoginScript,
  openLoginScript,
  readLoginScript,
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
  readonly #turns = new Turns();

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
      return await this.#redis.runReplicated(closeLoginScript, { digest });
    } finally {
      // The message arrives later, and perhaps not at all when the outcome is unknown.
      this.#lookUps.delete(digest);
    }
  }

  /** Scans all keys, so that no index has to be kept; most of them are those of download sessions. */
  async page({ cursor, principal, maxLogins }: LoginPageRequest): Promise<LoginRecordPage> {
    const walk = {
      scan: new KeyScan(this.#redis, loginKeys),
      turns: this.#turns,
      stepLength: maxCount,
      isFiltered: true,
      read: (digests: readonly string[]) => this.#read(digests, principal),
    };
    const page = await pageOf(walk, cursor, maxLogins);
    return { logins: page.values, ...(page.cursor !== undefined && { cursor: page.cursor }) };
  }

  async end(digests: readonly string[]): Promise<number> {
    try {
      const closed = await Promise.all(
        digests.map((digest) => this.#redis.runReplicated(closeLoginScript, { digest })),
      );
      return closed.filter(Boolean).length;
    } finally {
      for (const digest of digests) this.#lookUps.delete(digest);
    }
  }

  addFailure(key: string, windowMs: number): Promise<Failures> {
    return this.#redis.run(addFailureScript, { digest: digestOf(key), windowMs });
  }

  removeFailure(key: string): Promise<void> {
    return this.#redis.run(removeFailureScript, { digest: digestOf(key) });
  }

  async #read(
    digests: readonly string[],
    principal: string | undefined,
  ): Promise<(LoginRecord | undefined)[]> {
    const inputs = digests.map((digest) => ({ digest }));
    const logins = await this.#redis.runForEach("readLogins", readLoginScript, inputs);
    return logins.map((login, index) => {
      if (login === undefined || (principal !== undefined && login.principal !== principal)) return undefined;
      const lastUsedAt = Math.max(login.createdAt, login.expiresAt - this.#terms.idleMs);
      return { digest: digests[index]!, ...login, lastUsedAt };
    });
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
