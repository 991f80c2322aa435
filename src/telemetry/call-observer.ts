import type { Logger } from "pino";
import type { CallObserver, CallRecord } from "../calls/call.ts";
import { causeOf, type LoggedCause } from "./cause.ts";
import type { LoggedCall } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** Counts, measures and logs every finished call. */
export function callObserver(metrics: Metrics, log: Logger): CallObserver {
  // Members that repeat are written once, into a child; that takes a third off the cost of a line.
  const children = new Map<string, Logger>();
  const tellOverload = overloadTeller(log);
  return (record) => {
    metrics.observeCall(record);
    if (isOverload(record)) tellOverload();
    const level = levelOf(record);
    if (!log.isLevelEnabled(level)) return;
    const { operation, outcome } = record;
    const { protocol } = record.call;
    const key = `${operation} ${protocol} ${outcome}`;
    let child = children.get(key);
    if (child === undefined) {
      child = log.child({ operation, protocol, outcome });
      children.set(key, child);
    }
    child[level](logged(record), "call");
  };
}

/** How long calls that are refused for overload are counted before a line tells of them. */
const overloadLineMs = 1000;

/** To be called for each call that is refused for overload; they are told of together, because they come in masses. */
export function overloadTeller(log: Logger, what = "calls"): () => void {
  let refused = 0;
  const tell = () => {
    log.warn({ refused }, `overloaded: ${what} were refused`);
    refused = 0;
  };
  return () => {
    if (refused++ === 0) setTimeout(tell, overloadLineMs).unref();
  };
}

function isOverload({ error }: CallRecord): boolean {
  return error?.messageId === "downlease.server.overloaded";
}

/**
 * What a caller can cause is information; what an operator has to see to is more, and what goes on all day is less.
 * So is a call that was refused for overload, of which another line tells.
 */
function levelOf(record: CallRecord): "debug" | "info" | "warn" | "error" {
  if (isOverload(record)) return "debug";
  const { outcome, isRoutine } = record;
  switch (outcome) {
    case "ok":
      return isRoutine ? "debug" : "info";
    case "internal_server_error":
      return "error";
    case "service_unavailable":
    case "timed_out":
      return "warn";
    default:
      return "info";
  }
}

interface LoggedFailure {
  /** Id of the message that the caller got. */
  readonly reason: string | undefined;
  readonly cause: LoggedCause | undefined;
}

function logged({
  call,
  durationMs,
  sessionId,
  error,
}: CallRecord): Omit<LoggedCall, "operation" | "protocol" | "outcome"> & LoggedFailure {
  return {
    durationMs: Math.round(durationMs * 1000) / 1000,
    peer: call.connection.peer,
    requestId: call.requestId,
    session: sessionId && beginningOf(sessionId),
    reason: error?.messageId,
    cause: error && causeOf(error.cause),
  };
}

/** Enough to find an id again by, and never the whole of it. */
export function beginningOf(id: string): string {
  return `${id.slice(0, Math.min(8, id.length / 2))}…`;
}
