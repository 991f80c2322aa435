import { setTimeout as delay } from "node:timers/promises";

export interface Patience {
  /** Bound in milliseconds; 5 s by default. */
  readonly withinMs?: number;
  /** Pause between two calls of `probe`, in milliseconds; 20 by default. */
  readonly everyMs?: number;
}

/**
 * Calls `probe` until it returns something truthy, and returns that. A probe that throws counts as "not
 * yet", so that it may hold expectations. Rejects, naming `what` and the last failure, when the bound is reached.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  { withinMs = 5_000, everyMs = 20 }: Patience = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let failure: unknown;
    try {
      const result = await probe();
      if (result) return result;
    } catch (reason) {
      failure = reason;
    }
    if (performance.now() >= deadline) {
      const detail = failure instanceof Error ? `: ${failure.message}` : "";
      throw new Error(`waited ${withinMs} ms in vain for ${what}${detail}`, { cause: failure });
    }
    await delay(everyMs);
  }
}
