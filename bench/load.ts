/** Load models: how calls arrive. Both run for a time and then wait for the remaining answers. */
import { setTimeout as delay } from "node:timers/promises";
import { collectGarbage } from "./collections.ts";
import type { DriverCall, Outcome } from "./drivers/driver.ts";

export interface LoadResult {
  readonly seconds: number;
  /** Calls by how they ended. */
  readonly accepted: number;
  readonly unavailable: number;
  readonly failed: number;
  /** Sent, but cut off or not answered within some seconds after the end. */
  readonly lost: number;
  /** Due when every caller was busy, and therefore never sent. */
  readonly unsent: number;
  /** Latencies of accepted calls, in milliseconds, ascending. */
  readonly latencies: Float64Array;
  /** The first reason why a call was cut off. */
  readonly error: unknown;
}

const lastAnswerMs = 5_000;

/** Every caller calls again as soon as it gets any answer. */
export async function closedLoop(calls: readonly DriverCall[], seconds: number): Promise<LoadResult> {
  const tally = new CallTally();
  collectGarbage();
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const callers = calls.map(async (call) => {
    for (let now = performance.now(); now < endsAt; ) {
      if (!(await tally.count(call, now))) return;
      now = performance.now();
    }
  });
  const ended = Promise.all(callers).then(() => performance.now());
  const endedAt = await Promise.race([ended, delay(seconds * 1000 + lastAnswerMs, endsAt, { ref: false })]);
  return tally.result((endedAt - startedAt) / 1000);
}

export interface Arrivals {
  /** Calls per second, on average. */
  readonly rate: number;
  readonly seconds: number;
  /** Treatment of a call that is due while every caller is busy. */
  readonly whenBusy: "wait" | "drop";
  /** Called when a call has ended, with times by `performance.now()`. */
  readonly observe?: ((due: number, ended: number) => void) | undefined;
}

/**
 * Calls arrive independently of the answers, with exponential gaps. Latency counts from the time when a call was due,
 * so a server that stalls is charged for the calls that it delayed. Calls are sent once a millisecond, which the
 * latency includes.
 */
export async function openLoop(
  calls: readonly DriverCall[],
  { rate, seconds, whenBusy, observe }: Arrivals,
): Promise<LoadResult> {
  const tally = new CallTally();
  const idle = [...calls];
  collectGarbage();
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const gap = () => (-Math.log(1 - Math.random()) * 1000) / rate;
  let due = startedAt + gap();
  let inFlight = 0;
  const send = () => {
    for (const now = performance.now(); due <= now && due < endsAt; due += gap()) {
      const call = idle.pop();
      if (call === undefined) {
        if (whenBusy === "wait") return;
        tally.unsent++;
        continue;
      }
      inFlight++;
      const dueAt = due;
      void tally.count(call, dueAt).then((isConnected) => {
        observe?.(dueAt, performance.now());
        inFlight--;
        if (isConnected) idle.push(call);
        if (whenBusy === "wait") send();
      });
    }
  };
  while (performance.now() < endsAt + lastAnswerMs) {
    send();
    if (due >= endsAt && inFlight === 0) break;
    await delay(1);
  }
  return tally.result(seconds);
}

class CallTally {
  readonly #counts: Record<Outcome, number> = { accepted: 0, unavailable: 0, failed: 0 };
  readonly #latencies: number[] = [];
  #sent = 0;
  #error: unknown;
  unsent = 0;

  /** Makes a call; resolves to whether the caller can call again. */
  async count(call: DriverCall, since: number): Promise<boolean> {
    this.#sent++;
    try {
      const outcome = await call();
      this.#counts[outcome]++;
      if (outcome === "accepted") this.#latencies.push(performance.now() - since);
      return true;
    } catch (error) {
      this.#error ??= error;
      return false;
    }
  }

  result(seconds: number): LoadResult {
    const { accepted, unavailable, failed } = this.#counts;
    return {
      seconds,
      ...this.#counts,
      lost: this.#sent - accepted - unavailable - failed,
      unsent: this.unsent,
      latencies: Float64Array.from(this.#latencies).sort(),
      error: this.#error,
    };
  }
}
