/** Where calls spend their time, from the stamps of the generator, the collections of V8 and the kernel's events. */
import { type IntervalList, lengthOf, type Span } from "./intervals.ts";
import type { ThreadTimes } from "./trace.ts";

/** In milliseconds of the monotonic clock. */
export interface ObservedCall {
  readonly due: number;
  readonly ended: number;
}

/** One measurement. */
export interface Observed {
  readonly calls: readonly ObservedCall[];
  readonly generator: ObservedProcess;
  readonly server: ObservedProcess;
  readonly redis: ObservedProcess;
}

export interface ObservedProcess {
  /** Main thread. */
  readonly thread: ThreadTimes;
  readonly collections: IntervalList;
}

/** What a moment of a call is charged to: the first of these that is true of it. */
const causes: readonly (readonly [cause: string, (observed: Observed) => IntervalList])[] = [
  ["generator collects garbage", ({ generator }) => generator.collections],
  ["server collects garbage", ({ server }) => server.collections],
  ["server waits for a core", ({ server }) => server.thread.waiting],
  ["Redis waits for a core", ({ redis }) => redis.thread.waiting],
  ["generator waits for a core", ({ generator }) => generator.thread.waiting],
  ["server runs", ({ server }) => server.thread.running],
  ["Redis runs", ({ redis }) => redis.thread.running],
  ["generator runs", ({ generator }) => generator.thread.running],
];
const rest = "nobody runs: timer of the generator, wake-ups";

export interface Cause {
  readonly cause: string;
  /** Of the slowest hundredth of the calls, on average. */
  readonly slowMs: number;
  /** Of calls near the median, on average. */
  readonly medianMs: number;
}

/** @param measurements of one server under one load */
export function causesOf(measurements: readonly Observed[]): Cause[] {
  const calls = measurements
    .flatMap((observed) => observed.calls.map((call) => ({ call, observed, latency: call.ended - call.due })))
    .sort((left, right) => left.latency - right.latency);
  const shares = sharesOf(calls.slice(Math.floor(calls.length * 0.99)));
  const typical = sharesOf(calls.slice(Math.floor(calls.length * 0.495), Math.ceil(calls.length * 0.505)));
  return shares.map(([cause, slowMs], index) => ({ cause, slowMs, medianMs: typical[index]![1] }));
}

function sharesOf(
  calls: readonly { readonly call: ObservedCall; readonly observed: Observed }[],
): [cause: string, ms: number][] {
  const totals = [...causes.map(() => 0), 0];
  for (const { call, observed } of calls) {
    let spans: readonly Span[] = [[call.due, call.ended]];
    for (const [index, [, listOf]] of causes.entries()) {
      const remaining = listOf(observed).remove(spans);
      totals[index]! += lengthOf(spans) - lengthOf(remaining);
      spans = remaining;
    }
    totals[causes.length]! += lengthOf(spans);
  }
  return totals.map((total, index) => [causes[index]?.[0] ?? rest, total / calls.length]);
}
