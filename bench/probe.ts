/**
 * Loaded into a contender before its own code (`--import`). SIGUSR2 begins a measurement, the next one ends it; each
 * time a file named after the process id acknowledges it. Between signals nothing runs here.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { GCProfiler, getHeapStatistics } from "node:v8";

export interface ProbeReading {
  /** Allocated on V8's heap, without the memory of buffers outside it. */
  readonly allocatedBytes: number;
  readonly loopDelayP99Ms: number;
}

/** Environment variable that names the directory of the files. */
export const probeDirectoryVariable = "BENCH_PROBE_DIRECTORY";

const sampleMs = 1;

function begin(): () => ProbeReading {
  const startBytes = getHeapStatistics().used_heap_size;
  const delay = monitorEventLoopDelay({ resolution: sampleMs });
  const collections = new GCProfiler();
  collections.start();
  delay.enable();
  return () => {
    delay.disable();
    const { statistics } = collections.stop();
    let allocatedBytes = getHeapStatistics().used_heap_size - startBytes;
    for (const { beforeGC, afterGC } of statistics) {
      allocatedBytes += beforeGC.heapStatistics.usedHeapSize - afterGC.heapStatistics.usedHeapSize;
    }
    // The samples are intervals between timers, not delays.
    return { allocatedBytes, loopDelayP99Ms: Math.max(0, delay.percentile(99) / 1e6 - sampleMs) };
  };
}

const directory = process.env[probeDirectoryVariable];
if (directory !== undefined) {
  const path = join(directory, String(process.pid));
  let end: (() => ProbeReading) | undefined;
  process.on("SIGUSR2", () => {
    const reading = end?.() ?? null;
    end = end === undefined ? begin() : undefined;
    writeFileSync(`${path}.new`, JSON.stringify(reading));
    renameSync(`${path}.new`, path);
  });
}
