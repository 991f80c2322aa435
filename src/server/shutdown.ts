import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { ServiceError } from "../domain/errors.ts";
import type { Health } from "../telemetry/health.ts";
import type { Server } from "./server.ts";

export interface ShutdownParts {
  readonly health: Health;
  readonly server: Server;
  /** All other parts of the service; closed when no call needs them any more. */
  readonly rest: AsyncDisposable;
  /** Aborted to end streams, which would not end by themselves. */
  readonly endStreams: AbortController;
  /** Aborted to end calls that can't be waited for any longer. */
  readonly endCalls: AbortController;
  /** How long the whole stop may take. */
  readonly graceMs: number;
  /** How much of it to go on serving, already not ready, until load balancers have noticed. */
  readonly drainMs: number;
  readonly log: Logger;
}

/** Stops serving within `graceMs`, without losing a call where that is possible. Never rejects. */
export async function shutDown(parts: ShutdownParts): Promise<void> {
  const { health, server, rest, endStreams, endCalls, graceMs, drainMs, log } = parts;
  const endsAt = performance.now() + graceMs;
  const deadline = new AbortController();
  const deadlineTimer = setTimeout(() => deadline.abort(), graceMs);
  const graceIsOver = once(deadline.signal, "abort");
  log.info("stopping");

  health.shutDown();
  server.drain();
  await delay(drainMs, undefined, { signal: deadline.signal }).catch(() => {});

  const stopping = new ServiceError("downlease.server.stopping");
  endStreams.abort(stopping);
  // Half of the time left is for the calls to finish, the other half to answer those that have to end.
  const finishMs = Math.max(0, (endsAt - performance.now()) / 2);
  const callTimer = setTimeout(() => endCalls.abort(stopping), finishMs);
  await server.close(deadline.signal);
  clearTimeout(callTimer);
  endCalls.abort(stopping);
  if (deadline.signal.aborted) log.warn("the grace time was over before all calls had finished");

  const closed = rest[Symbol.asyncDispose]();
  await Promise.race([logFailures(closed, log), graceIsOver]);
  clearTimeout(deadlineTimer);
  log.info("stopped");
}

/** Waits for the parts to close, and logs which could not. */
async function logFailures(closed: PromiseLike<void>, log: Logger): Promise<void> {
  try {
    await closed;
  } catch (error) {
    let failure: unknown = error;
    while (failure instanceof SuppressedError) {
      log.warn({ reason: String(failure.error) }, "a part of the service did not close well");
      failure = failure.suppressed;
    }
    log.warn({ reason: String(failure) }, "a part of the service did not close well");
  }
}
