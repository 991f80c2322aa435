/** One open loop at a fixed rate on one server, observed from inside and from the kernel. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { RunningContender } from "../contender-process.ts";
import type { Driver } from "../drivers/driver.ts";
import { openLoop } from "../load.ts";
import type { ObservedCall, ObservedProcess } from "./causes.ts";
import { IntervalList } from "./intervals.ts";
import { coresOfOthers, readTrace, type ThreadTimes, traced } from "./trace.ts";
import { monotonicMs, watchCollections } from "./watch-collections.ts";

export interface Load {
  readonly driver: Driver;
  readonly sessionIds: readonly string[];
  readonly callers: number;
  /** Calls per second. */
  readonly rate: number;
  readonly seconds: number;
}

export interface Measurement {
  readonly calls: readonly ObservedCall[];
  /** CPU time of the server per call. */
  readonly cpuMicros: number;
  /** How many cores everything else on the machine took, the recording itself among it; NaN without one. */
  readonly otherCores: number;
  readonly server: ObservedProcess;
  readonly redis: ObservedProcess;
  readonly generator: ObservedProcess;
}

export interface Place {
  /** For files. */
  readonly directory: string;
  readonly redisPid: number;
  /** Whether the kernel's scheduler is recorded. */
  readonly isTraced: boolean;
}

const ownCollections: [begin: number, end: number][] = [];
watchCollections((begin, end) => ownCollections.push([begin, end]));

export async function measure(
  server: RunningContender,
  { driver, sessionIds, callers, rate, seconds }: Load,
  { directory, redisPid, isTraced }: Place,
): Promise<Measurement> {
  const open = await driver.open({ port: server.port, sessionIds, callers });
  const sinceBoot = monotonicMs() - performance.now();
  // Objects would be copied by the generator's collections.
  const stamps = new Float64Array(2 * Math.ceil(rate * seconds * 1.2 + 1000));
  let length = 0;
  const observe = (due: number, ended: number) => {
    stamps[length++] = due + sinceBoot;
    stamps[length++] = ended + sinceBoot;
  };
  let cpuSeconds = 0;
  const work = async () => {
    const before = server.cpuSeconds();
    await openLoop(open.calls, { rate, seconds, whenBusy: "wait", observe });
    cpuSeconds = server.cpuSeconds() - before;
  };
  const file = join(directory, "perf.data");
  await (isTraced ? traced(file, work) : work());
  open.close();
  // The observers of collections report a turn of the event loop later.
  await delay(50);
  const threads = isTraced ? await readTrace(file) : new Map<number, ThreadTimes>();
  const processOf = (pid: number, collections: IntervalList): ObservedProcess => ({
    thread: threads.get(pid) ?? { running: new IntervalList(), waiting: new IntervalList() },
    collections,
  });
  const calls = Array.from({ length: length / 2 }, (_, index) => ({
    due: stamps[2 * index]!,
    ended: stamps[2 * index + 1]!,
  }));
  return {
    calls,
    cpuMicros: (cpuSeconds * 1e6) / calls.length,
    otherCores: isTraced
      ? coresOfOthers(threads, [server.pid, redisPid, process.pid], seconds * 1000)
      : Number.NaN,
    server: processOf(server.pid, collectionsIn(join(directory, String(server.pid)))),
    redis: processOf(redisPid, new IntervalList()),
    generator: processOf(process.pid, listOf(ownCollections)),
  };
}

function collectionsIn(path: string): IntervalList {
  const lines = existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n") : [];
  return listOf(lines.map((line) => line.split(" ").map(Number) as [number, number]));
}

function listOf(spans: readonly (readonly [number, number])[]): IntervalList {
  const list = new IntervalList();
  for (const [begin, end] of spans.toSorted((left, right) => left[0] - right[0])) list.add(begin, end);
  return list;
}
