import { Supervisor, type SupervisorEvents } from "../cluster/supervisor.ts";
import { runWorker } from "../cluster/worker.ts";
import { WorkerFailure } from "../cluster/worker-process.ts";
import type { Config } from "../config/settings.ts";
import { openLog, summaryOf } from "./log.ts";
import { startApp } from "./start.ts";

export { WorkerFailure };

/** One of the workers of `superviseApps`: serves until the supervisor ends it. */
export function startWorkerApp(config: Config, explain: Parameters<typeof runWorker>[1]): Promise<void> {
  return runWorker((program) => startApp(config, { program }), explain);
}

/** A program of several workers, not yet started. */
export function superviseApps(config: Config, { onFailure }: SupervisorEvents): Supervisor {
  const { workers, port, graceMs } = config;
  return new Supervisor({
    workers,
    port,
    graceMs,
    log: openLog(config),
    served: summaryOf(config),
    onFailure,
  });
}
