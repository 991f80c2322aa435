import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { ServiceError } from "../domain/errors.ts";
import type { Health } from "../telemetry/health.ts";
import type { Server } from "./server.ts";

export interface ShutdownParts {
  readonly health: Health;
  readonly server: Server;
  readonly backend: AsyncDisposable;
  /** What works besides the calls; is ended when no call needs it any more, and before the backend is closed. */
  readonly background?: readonly { close(): Promise<void> }[];
  /** Would set the health again. */
  readonly monitor: { stop(): void };
  /** Aborted when streams that would not end by themselves are to end. */
  readonly streamsMayEnd: AbortController;
  /** Aborted when calls can't be waited for any longer. */
  readonly callsMayEnd: AbortController;
  /** How long the whole stop may take. */
  readonly graceMs: number;
  /** How much of it to go on serving, already not ready, until load balancers have noticed. */
  readonly drainMs: number;
  readonly log: Logger;
}

/** Stops serving within `graceMs`, without losing a call where that is possible. Never rejects. */
export async function shutDown(parts: ShutdownParts): Promise<void> {
  const {
    health,
    server,
    backend,
    background = [],
    monitor,
    streamsMayEnd,
    callsMayEnd,
    graceMs,
    drainMs,
    log,
  } = parts;
  const endsAt = performance.now() + graceMs;
  const deadline = new AbortController();
  const deadlineTimer = setTimeout(() => deadline.abort(), graceMs);
  const graceIsOver = once(deadline.signal, "abort");
  log.info("stopping");

  monitor.stop();
  health.set("NOT_SERVING");

  server.drain();
  await delay(drainMs, undefined, { signal: deadline.signal }).catch(() => {});

  const stopping = new ServiceError("downlease.server.stopping");
  streamsMayEnd.abort(stopping);
  // Half of what is left is for the calls, the other half for telling them that they were ended.
  const patienceMs = Math.max(0, (endsAt - performance.now()) / 2);
  const callTimer = setTimeout(() => callsMayEnd.abort(stopping), patienceMs);
  await server.close(deadline.signal);
  clearTimeout(callTimer);
  callsMayEnd.abort(stopping);
  if (deadline.signal.aborted) log.warn("the grace time was over before all calls had finished");

  const closeAll = async () => {
    for (const ended of await Promise.allSettled(background.map((work) => work.close()))) {
      if (ended.status === "fulfilled") continue;
      log.warn({ reason: String(ended.reason) }, "the work in the background did not end well");
    }
    try {
      await backend[Symbol.asyncDispose]();
    } catch (error) {
      log.warn({ reason: String(error) }, "the store did not close well");
    }
  };
  await Promise.race([closeAll(), graceIsOver]);
  clearTimeout(deadlineTimer);
  log.info("stopped");
}
