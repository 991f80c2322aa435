import { ServiceError } from "../../src/domain/errors.ts";
import type { Failures, Login, LoginStore, NewLogin } from "../../src/domain/login-store.ts";

/** Login sessions of one process, which end only when they are closed. */
export class MemoryLoginStore implements Omit<LoginStore, "page" | "end"> {
  /** Failures by key. */
  readonly failures = new Map<string, { count: number; forgottenAt: number }>();
  /** Whether it answers as a store of another process does: later. */
  isRemote = false;
  isDown = false;
  readonly #logins = new Map<string, Login>();

  async open(login: NewLogin): Promise<string> {
    this.#check();
    const id = crypto.randomUUID().replaceAll("-", "");
    const now = Date.now();
    this.#logins.set(id, { ...login, createdAt: now, lastUsedAt: now });
    return id;
  }

  find(id: string): Login | undefined | Promise<Login | undefined> {
    this.#check();
    const login = this.#logins.get(id);
    return this.isRemote ? Promise.resolve(login) : login;
  }

  async close(id: string): Promise<boolean> {
    this.#check();
    return this.#logins.delete(id);
  }

  async addFailure(key: string, windowMs: number): Promise<Failures> {
    this.#check();
    const now = Date.now();
    const previous = this.failures.get(key);
    const entry =
      previous && previous.forgottenAt > now ? previous : { count: 0, forgottenAt: now + windowMs };
    entry.count++;
    this.failures.set(key, entry);
    return { count: entry.count, forgottenInMs: entry.forgottenAt - now };
  }

  async removeFailure(key: string): Promise<void> {
    this.#check();
    const entry = this.failures.get(key);
    if (entry !== undefined) entry.count--;
  }

  #check(): void {
    if (this.isDown) throw new ServiceError("downlease.store.unavailable");
  }
}
