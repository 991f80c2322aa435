import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { ServiceError } from "../domain/errors.ts";
import type { Health } from "../telemetry/health.ts";
import type { Server } from "./server.ts";

/** What a stop aborts, with a ServiceError. */
export interface Endings {
  /** Streams, which would not end by themselves. */
  readonly endStreams: AbortController;
  /** Calls that can't be waited for any longer. */
  readonly endCalls: AbortController;
  /** The same for downloads. */
  readonly endDownloads: AbortController;
}

export function newEndings(): Endings {
  return {
    endStreams: new AbortController(),
    endCalls: new AbortController(),
    endDownloads: new AbortController(),
  };
}

export interface ShutdownParts extends Endings {
  readonly health: Health;
  readonly server: Server;
  /** All other parts of the service; closed when no call needs them any more. */
  readonly rest: AsyncDisposable;
  /** How long the whole stop may take, but for downloads. */
  readonly graceMs: number;
  /** How long downloads may go on, if that is longer. */
  readonly transferGraceMs: number;
  /** How much of the grace to go on serving, already not ready, until load balancers have noticed. */
  readonly drainMs: number;
  readonly log: Logger;
}

/**
 * Stops serving within `graceMs`, or `transferGraceMs` while downloads are running, without losing a call or a download
 * where that is possible. Never rejects.
 */
export async function shutDown(parts: ShutdownParts): Promise<void> {
  const { health, server, rest, endStreams, endCalls, endDownloads, graceMs, drainMs, log } = parts;
  const wholeMs = Math.max(graceMs, parts.transferGraceMs);
  // Half of the time without the drain is for calls to finish, the other half to answer those that have to end.
  const reserveMs = Math.max(0, graceMs - drainMs) / 2;
  const stopping = new ServiceError("downlease.server.stopping");
  const [callDeadline, deadline] = [new AbortController(), new AbortController()];
  const startedAt = performance.now();
  using timers = new DisposableStack();
  const after = (ms: number, action: () => void) => timers.adopt(setTimeout(action, ms), clearTimeout);
  after(graceMs - reserveMs, () => endCalls.abort(stopping));
  after(graceMs, () => callDeadline.abort());
  after(wholeMs - reserveMs, () => endDownloads.abort(stopping));
  after(wholeMs, () => deadline.abort());
  log.info("stopping");

  health.shutDown();
  server.drain();
  await delay(drainMs, undefined, { signal: callDeadline.signal }).catch(() => {});

  endStreams.abort(stopping);
  await server.close(callDeadline.signal, deadline.signal);
  if (server.cuts > 0) log.warn("the grace time was over before all calls had finished");
  endCalls.abort(stopping);
  endDownloads.abort(stopping);

  const elapsedMs = performance.now() - startedAt;
  const closeMs = Math.max(0, Math.min(wholeMs - elapsedMs, Math.max(graceMs - elapsedMs, reserveMs)));
  const closed = logFailures(rest[Symbol.asyncDispose](), log);
  await Promise.race([closed, new Promise<void>((resolve) => after(closeMs, resolve))]);
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
