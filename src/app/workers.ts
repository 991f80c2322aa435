import { Supervisor, type SupervisorEvents } from "../cluster/supervisor.ts";
import { runWorker } from "../cluster/worker.ts";
import { WorkerFailure } from "../cluster/worker-process.ts";
import type { Config } from "../config/settings.ts";
import { type Admin, openAdmin } from "./admin.ts";
import { type Logger, summaryOf } from "./log.ts";
import { startApp } from "./start.ts";

export { WorkerFailure };

/** One of the workers of `superviseApps`: serves until the supervisor ends it. */
export function startWorkerApp(config: Config, explain: Parameters<typeof runWorker>[1]): Promise<void> {
  return runWorker((program) => startApp(config, { program }), explain);
}

/** A program of several workers, not yet started. Its supervisor has the admin address. */
export function superviseApps(
  config: Config,
  { onFailure, log }: SupervisorEvents & { readonly log: Logger },
) {
  const { workers, port, graceMs, transferGraceMs } = config;
  let admin: Admin | undefined;
  const served = () => ({ adminUrl: admin?.url, ...summaryOf(config) });
  const supervisor = new Supervisor({ workers, port, graceMs, transferGraceMs, log, served, onFailure });
  return {
    /** @throws StartError, WorkerFailure */
    async start(): Promise<void> {
      admin = await openAdmin(config, { readiness: supervisor, metrics: supervisor, log });
      await supervisor.start();
    },
    restart: () => supervisor.restart(),
    /** Resolves with whether every worker ended in time and without an error. */
    async stop(): Promise<boolean> {
      const isWell = await supervisor.stop();
      await admin?.[Symbol.asyncDispose]();
      return isWell;
    },
    kill: () => supervisor.kill(),
  };
}
