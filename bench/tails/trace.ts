/** Which thread had a core and which waited for one, from the kernel's scheduler events (`perf`). */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { IntervalList } from "./intervals.ts";

/** Of a thread; times in milliseconds of the monotonic clock. */
export interface ThreadTimes {
  readonly running: IntervalList;
  /** Ready to run, while other threads had the cores. */
  readonly waiting: IntervalList;
}

export function canTrace(): boolean {
  return (
    spawnSync("perf", ["record", "-q", "-a", "-e", "sched:sched_switch", "-o", "/dev/null", "true"])
      .status === 0
  );
}

/** Of all threads but those of the processes, and the idle ones. */
export function coresOfOthers(
  threads: ReadonlyMap<number, ThreadTimes>,
  pids: readonly number[],
  ms: number,
): number {
  const own = new Set(pids.flatMap((pid) => readdirSync(`/proc/${pid}/task`).map(Number)));
  const others = [...threads].filter(([thread]) => thread !== idleThread && !own.has(thread));
  return others.reduce((sum, [, { running }]) => sum + running.total, 0) / ms;
}

const idleThread = 0;

/** Records the whole machine while `work` runs. */
export async function traced<T>(file: string, work: () => Promise<T>): Promise<T> {
  const events = ["-e", "sched:sched_switch", "-e", "sched:sched_wakeup"];
  const args = ["record", "-q", "-a", "-k", "mono", "-m", "4096", ...events, "-o", file];
  const perf = spawn("perf", args, { stdio: ["ignore", "ignore", "inherit"] });
  const exited = once(perf, "exit");
  await delay(startMs);
  try {
    return await work();
  } finally {
    perf.kill("SIGINT");
    await exited;
  }
}

/** perf opens its events before that. */
const startMs = 700;

const switched = /^ *([\d.]+): sched:sched_switch: .*prev_pid=(\d+) .*prev_state=(\S+) ==> .*next_pid=(\d+)/;
const woken = /^ *([\d.]+): sched:sched_wakeup: .* pid=(\d+) /;

/** @returns by thread id */
export async function readTrace(file: string): Promise<Map<number, ThreadTimes>> {
  const script = spawn("perf", ["script", "-i", file, "--ns", "-F", "time,event,trace"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const threads = new Map<number, ThreadTimes>();
  const timesOf = (thread: number) => {
    let times = threads.get(thread);
    if (times === undefined) {
      times = { running: new IntervalList(), waiting: new IntervalList() };
      threads.set(thread, times);
    }
    return times;
  };
  /** What each thread does, and since when. */
  const states = new Map<number, { readonly isRunning: boolean; readonly since: number }>();
  for await (const line of createInterface(script.stdout)) {
    const [, seconds, previous, state, next] = switched.exec(line) ?? [];
    if (seconds !== undefined) {
      const now = Number(seconds) * 1000;
      const [leaving, entering] = [Number(previous), Number(next)];
      const left = states.get(leaving);
      if (left?.isRunning) timesOf(leaving).running.add(left.since, now);
      if (state?.startsWith("R")) states.set(leaving, { isRunning: false, since: now });
      else states.delete(leaving);
      const entered = states.get(entering);
      if (entered?.isRunning === false) timesOf(entering).waiting.add(entered.since, now);
      states.set(entering, { isRunning: true, since: now });
      continue;
    }
    const [, wokenAt, thread] = woken.exec(line) ?? [];
    if (wokenAt === undefined || states.has(Number(thread))) continue;
    states.set(Number(thread), { isRunning: false, since: Number(wokenAt) * 1000 });
  }
  return threads;
}
