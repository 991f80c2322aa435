import cluster from "node:cluster";
import { constants } from "node:os";
import { isatty } from "node:tty";
import { setFlagsFromString } from "node:v8";
import { readConfig, withConfigFile } from "../app/config.ts";
import { type Logger, openLog } from "../app/log.ts";
import { openNotifier } from "../app/service-manager.ts";
import { type App, startApp } from "../app/start.ts";
import { StartError } from "../app/start-error.ts";
import { startWorkerApp, superviseApps, WorkerFailure } from "../app/workers.ts";
import { ConfigError, type ConfigSources, serviceLinksIn } from "../config/load.ts";
import { serviceManagerOf } from "../config/service-manager.ts";
import type { Config } from "../config/settings.ts";

// Otherwise a first burst of calls can make V8 allocate the objects of calls in the old heap for the rest of the process,
// and a call costs up to half as much again (docs/performance.md).
setFlagsFromString("--no-allocation-site-pretenuring");

/** The time that a stop may take beyond the grace: killing workers, and closing the store. */
const stopMarginMs = 5000;

/** The program, as signals end it. */
interface Service {
  start(): Promise<void>;
  /** Resolves with the exit code. */
  stop(): Promise<number>;
  /** Kills processes that would outlive this one. */
  kill(): void;
  /** Reads files again; no call is lost, and no download that moves. */
  reload(): Promise<void>;
}

/** Resolves when the service is up; it ends with the process, at once when it can't start. */
export async function serve({
  flags,
  environment,
}: Pick<ConfigSources, "flags" | "environment">): Promise<void> {
  try {
    const { file } = await withConfigFile({ flags, environment });
    await start(readConfig(flags, environment, file), environment);
  } catch (error) {
    process.exit(report(error));
  }
}

async function start(config: Config, environment: ConfigSources["environment"]): Promise<void> {
  if (config.workers > 1 && cluster.isWorker) return startWorkerApp(config, explain);
  const logger = await openLog(config);
  const variables = serviceLinksIn(environment);
  if (variables.length > 0) {
    logger.debug({ variables }, "variables of Kubernetes' service links are ignored");
  }
  const manager = serviceManagerOf(environment, process.pid);
  const notifier = openNotifier(manager, (line) => logger.warn(line));
  const service = config.workers > 1 ? severalProcesses(config, logger) : oneProcess(config, logger);
  let canStop = false;
  const stop = (signal: "SIGINT" | "SIGTERM" | "SIGHUP") => {
    if (!canStop) {
      service.kill();
      process.exit(128 + constants.signals[signal]);
    }
    canStop = false;
    notifier.stopping(Math.max(config.graceMs, config.transferGraceMs) + stopMarginMs);
    // A stop that fails is a bug: unhandled, it ends the process with a stack and exit code 1.
    void service.stop().then((code) => process.exit(code));
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  const isTerminalGone = terminalWatch();
  process.on("SIGHUP", () => {
    if (isTerminalGone()) stop("SIGHUP");
    else if (canStop) void notifier.reload(() => service.reload());
  });
  process.on("SIGUSR2", (signal) => logger.warn({ signal }, "the signal is ignored"));
  await service.start();
  canStop = true;
  notifier.ready();
}

/**
 * Makes a function that says whether the terminal that the program was started in has been closed. The system sends SIGHUP
 * then too: without a terminal, as below `nohup` or a service manager, it always asks for the files to be read again.
 */
function terminalWatch(): () => boolean {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  return () => terminals.length > 0 && !terminals.some((descriptor) => isatty(descriptor));
}

function oneProcess(config: Config, logger: Logger): Service {
  let app: App | undefined;
  return {
    async start() {
      app = await startApp(config, { logger });
    },
    async stop() {
      await app?.stop();
      return 0;
    },
    kill() {},
    reload: async () => app?.reload(),
  };
}

function severalProcesses(config: Config, log: Logger): Service {
  const supervisor = superviseApps(config, { log, onFailure: (failure) => process.exit(report(failure)) });
  return {
    start: () => supervisor.start(),
    stop: async () => ((await supervisor.stop()) ? 0 : 1),
    kill: () => supervisor.kill(),
    reload: () => supervisor.restart(),
  };
}

/** Prints what went wrong; returns the exit code. Throws what is a bug. */
function report(error: unknown): number {
  const failure = explain(error);
  if (failure === undefined) throw error;
  process.stderr.write(failure.message);
  return failure.exitCode;
}

/** The message and exit code for a failure that is not a bug: 2 for mistakes of the user, 1 for the environment. */
function explain(error: unknown): { message: string; exitCode: number } | undefined {
  // A start that failed, and then failed to close what it had opened.
  if (error instanceof SuppressedError) return explain(error.suppressed);
  if (error instanceof ConfigError) {
    return { message: `${error.message}\nSee downlease serve --help.\n`, exitCode: 2 };
  }
  if (error instanceof StartError)
    return { message: `downlease can't start: ${error.message}\n`, exitCode: 1 };
  if (error instanceof WorkerFailure) return error;
  return undefined;
}
