/** CPU time and memory of processes, from the kernel. Figures include child processes, because workers count, too. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** A process and all its descendants. */
export function processTree(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return [pid, ...children.flatMap((child) => processTree(Number(child)))];
}

/** Linux counts CPU time in ticks of 10 ms. */
const ticksPerSecond = 100;

/** CPU time so far, user and system, in seconds, without children. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) / ticksPerSecond;
}

export function cpuSecondsOfTree(pid: number): number {
  return processTree(pid).reduce((sum, each) => sum + cpuSecondsOf(each), 0);
}

/** CPU time so far of the current threads, in nanoseconds: for work that takes less than a tick. */
export function cpuNanosOfTree(pid: number): number {
  const ofThread = (path: string) => Number(readFileSync(`${path}/schedstat`, "utf8").split(" ")[0]);
  return processTree(pid)
    .flatMap((each) => readdirSync(`/proc/${each}/task`).map((thread) => `/proc/${each}/task/${thread}`))
    .reduce((sum, path) => sum + ofThread(path), 0);
}

/** Resets the peak of resident memory to the current value. */
export function resetPeakMemory(pid: number): void {
  for (const each of processTree(pid)) writeFileSync(`/proc/${each}/clear_refs`, "5");
}

/** Sum of the peaks of resident memory, in bytes. */
export function peakMemoryOf(pid: number): number {
  return sumOfStatus(pid, /^VmHWM:\s*(\d+) kB$/m);
}

/** Resident memory, in bytes. */
export function memoryOf(pid: number): number {
  return sumOfStatus(pid, /^VmRSS:\s*(\d+) kB$/m);
}

/** Of a line in KiB, over all processes, in bytes. */
function sumOfStatus(pid: number, line: RegExp): number {
  const kibibytes = processTree(pid).map((each) =>
    Number(line.exec(readFileSync(`/proc/${each}/status`, "utf8"))?.[1]),
  );
  return kibibytes.reduce((sum, each) => sum + each, 0) * 1024;
}
