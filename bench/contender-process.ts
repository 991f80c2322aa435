import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "../test/support/eventually.ts";
import { freePort } from "../test/support/ports.ts";
import type { Contender } from "./contenders.ts";
import { type ProbeReading, probeDirectoryVariable } from "./probe.ts";
import { cpuSecondsOfTree, processTree } from "./process-figures.ts";

export interface RunningContender {
  readonly port: number;
  readonly pid: number;
  /** CPU time so far of the process and its children, user and system, in seconds. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

/** A contender with a probe in each process, which takes some memory. */
export interface ProbedContender extends RunningContender {
  /** Sum of the allocations and maximum of the event-loop delays of all processes while `work` runs. */
  probe(work: () => Promise<unknown>): Promise<ProbeReading>;
}

const probeFile = fileURLToPath(new URL("probe.ts", import.meta.url));

interface StartOptions {
  /** Flags of Node.js. */
  readonly nodeOptions?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export async function startContender(
  contender: Contender,
  redisUrl: string,
  options: StartOptions = {},
): Promise<RunningContender> {
  return start(contender, redisUrl, options);
}

/** @param directory for the files of the probes */
export async function startProbedContender(
  contender: Contender,
  redisUrl: string,
  directory: string,
): Promise<ProbedContender> {
  const environment = { [probeDirectoryVariable]: directory };
  const running = await start(contender, redisUrl, { nodeOptions: ["--import", probeFile], environment });
  const root = running.pid;
  // Before its handler is installed, the signal would end the process.
  await eventually(`the probes in ${contender.name}`, () => processTree(root).every(catchesProbeSignal));

  const signalProbes = async () => {
    const pids = processTree(root);
    await Promise.all(pids.map((pid) => rm(join(directory, String(pid)), { force: true })));
    for (const pid of pids) process.kill(pid, "SIGUSR2");
    return Promise.all(
      pids.map(async (pid) => {
        const text = await eventually(`the probe in ${contender.name}`, () =>
          readFile(join(directory, String(pid)), "utf8"),
        );
        return JSON.parse(text) as ProbeReading;
      }),
    );
  };
  return {
    ...running,
    async probe(work) {
      await signalProbes();
      await work();
      const readings = await signalProbes();
      return {
        allocatedBytes: readings.reduce((sum, reading) => sum + reading.allocatedBytes, 0),
        loopDelayP99Ms: Math.max(...readings.map((reading) => reading.loopDelayP99Ms)),
      };
    },
  };
}

async function start(
  contender: Contender,
  redisUrl: string,
  { nodeOptions = [], environment = {} }: StartOptions,
): Promise<RunningContender> {
  const executable = contender.executable?.() ?? process.execPath;
  const port = await freePort();
  const child = spawn(executable, [...nodeOptions, ...contender.args(port, redisUrl)], {
    // Logs are written, as in production, but discarded.
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, REDIS_URL: redisUrl, ...contender.environment, ...environment },
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const exited = new Promise((resolve) => child.once("exit", resolve));
  void exited.then(() => process.removeListener("exit", kill));
  const isUp = async () => child.exitCode !== null || (await accepts(port));
  await eventually(`${contender.name} on port ${port}`, isUp, { withinMs: 15_000 });
  if (child.exitCode !== null) throw new Error(`${contender.name} did not start`);
  const pid = child.pid!;
  return {
    port,
    pid,
    cpuSeconds: () => cpuSecondsOfTree(pid),
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

const probeSignalBit = 1n << BigInt(constants.signals.SIGUSR2 - 1);

function catchesProbeSignal(pid: number): boolean {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const caught = BigInt(`0x${/^SigCgt:\s*(\w+)$/m.exec(status)?.[1]}`);
  return (caught & probeSignalBit) !== 0n;
}

export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
