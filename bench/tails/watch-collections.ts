import { PerformanceObserver } from "node:perf_hooks";

/** The monotonic clock in milliseconds, which all processes and the kernel share. */
export function monotonicMs(): number {
  return performance.now() + sinceBoot;
}

const sinceBoot = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Calls back with the begin and the end of each garbage collection of this process, by the monotonic clock. */
export function watchCollections(onCollection: (begin: number, end: number) => void): void {
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      onCollection(startTime + sinceBoot, startTime + sinceBoot + duration);
    }
  });
  observer.observe({ entryTypes: ["gc"] });
}
