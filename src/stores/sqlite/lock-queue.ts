import { isBusy } from "./driver-errors.ts";

/** How long a call waits at most. Callers are promised an answer within a second. */
const patienceMs = 800;

/** Most other processes are done within a fraction of a millisecond; then the pauses grow. */
const pausesMs = [0, 0, 0, 1, 2, 5, 10];

interface WaitingCall {
  /** Does the work and settles the call. Throws when the lock is held. */
  run(): void;
  refuse(error: unknown): void;
  /** By `performance.now()`. */
  readonly deadline: number;
}

/**
 * Calls that wait for another process to release the lock of the database, in their order. They share one wait: one
 * call at a time tries, the event loop goes on meanwhile, and once the lock has been held for as long as a call may
 * take, those that wait are refused, and later ones at once.
 */
export class LockQueue {
  readonly #calls: WaitingCall[] = [];
  /** When the lock was first and last found held, by `performance.now()`; while it is free they mean nothing. */
  #heldSince = 0;
  #heldAt = 0;
  #isFree = true;
  #tries = 0;

  /** Whether a call may do its work at once: nothing waits, and the lock was not held when it was last tried. */
  get isFree(): boolean {
    return this.#isFree;
  }

  /** Does the work when the lock is free. Rejects with the error of the driver. */
  run<T>(work: () => T): T | Promise<T> {
    if (this.#calls.length > 0) return this.#add(work);
    try {
      const result = work();
      this.#isFree = true;
      return result;
    } catch (error) {
      if (!isBusy(error)) throw error;
      const now = this.#held();
      return now < this.#heldSince + patienceMs ? this.#add(work) : Promise.reject(error);
    }
  }

  #add<T>(work: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = () => {
      try {
        resolve(work());
      } catch (error) {
        if (isBusy(error)) throw error;
        reject(error);
      }
    };
    this.#calls.push({ run, refuse: reject, deadline: this.#heldSince + patienceMs });
    if (this.#calls.length === 1) this.#tryLater();
    return promise;
  }

  /** Records that the lock is held. Returns the time. */
  #held(): number {
    const now = performance.now();
    // When nobody has tried for long, it is another lock.
    if (this.#isFree || now - this.#heldAt > patienceMs) this.#heldSince = now;
    this.#heldAt = now;
    this.#isFree = false;
    return now;
  }

  #tryLater(): void {
    const pauseMs = pausesMs[Math.min(this.#tries++, pausesMs.length - 1)]!;
    if (pauseMs === 0) setImmediate(() => this.#try());
    else setTimeout(() => this.#try(), pauseMs);
  }

  #try(): void {
    try {
      for (let call = this.#calls[0]; call !== undefined; call = this.#calls[0]) {
        call.run();
        this.#calls.shift();
        this.#isFree = true;
      }
      this.#tries = 0;
    } catch (busy) {
      if (this.#isFree) this.#tries = 0;
      const now = this.#held();
      while (this.#calls.length > 0 && this.#calls[0]!.deadline <= now) this.#calls.shift()!.refuse(busy);
      if (this.#calls.length > 0) this.#tryLater();
      else this.#tries = 0;
    }
  }
}
