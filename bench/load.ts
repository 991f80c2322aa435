/** How calls arrive. Both models run for a time and then wait for every answer. */
import { setTimeout as delay } from "node:timers/promises";
import type { Beat, Outcome } from "./drivers/driver.ts";

export interface LoadResult {
  readonly seconds: number;
  /** Calls by how they ended. */
  readonly accepted: number;
  readonly unavailable: number;
  readonly failed: number;
  /** Sent, and not answered within some seconds after the end, or cut off. */
  readonly lost: number;
  /** Due when every caller was busy, and therefore never sent. */
  readonly unsent: number;
  /** Of accepted calls, in milliseconds, ascending. */
  readonly latencies: Float64Array;
  /** Why calls were cut off, when some were. */
  readonly error: unknown;
}

const lastAnswerMs = 5_000;

/** Every caller calls again as soon as it is answered, whatever the answer. */
export async function closedLoop(beats: readonly Beat[], seconds: number): Promise<LoadResult> {
  const tally = new Tally();
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const callers = beats.map(async (beat) => {
    for (let now = performance.now(); now < endsAt; ) {
      if (!(await tally.count(beat, now))) return;
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
  /** What becomes of a call that is due while every caller is busy. */
  readonly whenBusy: "wait" | "drop";
}

/**
 * Calls come when they come, however slow the answers: independent callers, exponential gaps. Latency counts from
 * the moment a call was due, so that a server that stalls is charged for the calls that it made late. Calls are
 * sent once a millisecond, which the latency includes.
 */
export async function openLoop(
  beats: readonly Beat[],
  { rate, seconds, whenBusy }: Arrivals,
): Promise<LoadResult> {
  const tally = new Tally();
  const idle = [...beats];
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const gap = () => (-Math.log(1 - Math.random()) * 1000) / rate;
  let due = startedAt + gap();
  let underWay = 0;
  const send = () => {
    for (const now = performance.now(); due <= now && due < endsAt; due += gap()) {
      const beat = idle.pop();
      if (beat === undefined) {
        if (whenBusy === "wait") return;
        tally.unsent++;
        continue;
      }
      underWay++;
      void tally.count(beat, due).then((isConnected) => {
        underWay--;
        if (isConnected) idle.push(beat);
        if (whenBusy === "wait") send();
      });
    }
  };
  while (performance.now() < endsAt + lastAnswerMs) {
    send();
    if (due >= endsAt && underWay === 0) break;
    await delay(1);
  }
  return tally.result(seconds);
}

class Tally {
  readonly #counts: Record<Outcome, number> = { accepted: 0, unavailable: 0, failed: 0 };
  readonly #latencies: number[] = [];
  #sent = 0;
  #error: unknown;
  unsent = 0;

  /** Resolves to whether the caller can call again. */
  async count(beat: Beat, since: number): Promise<boolean> {
    this.#sent++;
    try {
      const outcome = await beat();
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
