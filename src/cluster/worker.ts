import cluster from "node:cluster";
import type { ServingStatus } from "../telemetry/health.ts";
import type { LogLevel } from "../telemetry/log.ts";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";
import type { Serving, StartFailure, SupervisorMessage, WorkerMessage } from "./messages.ts";

/** The program, as one of its workers sees it. */
export interface Program {
  /** This worker's number; a replacement has a number of its own. */
  readonly worker: number;
  /** To call after every change of this worker's status. */
  readonly reportStatus: (status: ServingStatus) => void;
  /** To call when the minimum level to log changes. */
  readonly reportLogLevel: (level: LogLevel) => void;
}

export interface WorkerApp extends Serving {
  metricsSnapshot(): Promise<MetricsSnapshot>;
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Runs a worker: it starts, serves, and stops when the supervisor asks for it or is gone. Signals are left to the
 * supervisor: Ctrl-C in a terminal and some service managers send them to every process of a program.
 *
 * @param explain describes a failure to start that is not a bug
 */
export async function runWorker(
  start: (program: Program) => Promise<WorkerApp>,
  explain: (error: unknown) => StartFailure | undefined,
): Promise<void> {
  const self = cluster.worker!;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const) process.on(signal, () => {});
  let app: WorkerApp | undefined;
  let mustReload = false;
  const left = Promise.withResolvers<void>();

  const sendMetrics = async () => {
    if (app !== undefined) await send({ type: "snapshot", metrics: await app.metricsSnapshot() });
  };
  const stop = async () => {
    await app?.stop();
    // A connection that was handed over meanwhile goes back to the supervisor; it must not get lost.
    await send({ type: "leaving" });
    if (process.connected) await left.promise;
    await sendMetrics();
    process.exit(0);
  };

  process.on("message", (message: SupervisorMessage) => {
    switch (message.type) {
      case "stop":
        return void stop();
      case "snapshot":
        return void sendMetrics();
      case "reload":
        mustReload = app === undefined;
        return void app?.reload();
      case "left":
        return left.resolve();
    }
  });
  self.once("disconnect", () => {
    // Otherwise Node ends a worker at once when its supervisor is gone; before it serves, that is right.
    self.exitedAfterDisconnect = app !== undefined;
    left.resolve();
    void stop();
  });

  const reportStatus = (status: ServingStatus) => void send({ type: "status", status });
  const reportLogLevel = (level: LogLevel) => void send({ type: "logLevel", level });
  try {
    app = await start({ worker: self.id, reportStatus, reportLogLevel });
  } catch (error) {
    const failure = explain(error);
    if (failure === undefined) throw error;
    await send({ type: "failed", failure });
    process.exit(failure.exitCode);
  }
  // The files may have been read before the supervisor was asked.
  if (mustReload) void app.reload();
  await send({ type: "serving", at: { url: app.url, port: app.port } });
}

/** Resolves when the message is sent, or the supervisor is gone. */
function send(message: WorkerMessage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send!(message, undefined, undefined, () => resolve());
    else resolve();
  });
}
