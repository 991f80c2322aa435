/**
 * Loaded into a contender before its own code (`--import`). SIGUSR2 begins a measurement, the next one ends it;
 * each time the file named after the process tells that it is done. Until then nothing runs here.
 */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { GCProfiler, getHeapStatistics } from "node:v8";

export interface ProbeReading {
  /** Allocated on V8's heap; what buffers hold outside of it is not in. */
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
    // The samples are the times between two timers, not by how much they were late.
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
