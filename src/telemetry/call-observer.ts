import type { Logger } from "pino";
import type { CallObserver, CallRecord } from "../calls/call.ts";
import { causeOf, type LoggedCause } from "./cause.ts";
import type { LoggedCall } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** Counts, measures and logs every finished call. */
export function callObserver(metrics: Metrics, log: Logger): CallObserver {
  // Members that repeat are serialized once, in a child logger; a line then costs a third less.
  const children = new Map<string, Logger>();
  const countOverload = overloadCounter(log);
  return (record) => {
    metrics.observeCall(record);
    if (isOverload(record)) countOverload();
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
    child[level](logMembersOf(record), "call");
  };
}

/** How long refused calls are counted before one line reports them. */
const overloadLineMs = 1000;

/** Makes a function to call for each refusal for overload. One line reports many, because they come in masses. */
export function overloadCounter(log: Logger, what = "calls"): () => void {
  let refused = 0;
  const report = () => {
    log.warn({ refused }, `overloaded: ${what} were refused`);
    refused = 0;
  };
  return () => {
    if (refused++ === 0) setTimeout(report, overloadLineMs).unref();
  };
}

function isOverload({ error }: CallRecord): boolean {
  return error?.messageId === "downlease.server.overloaded";
}

/**
 * `info` for what a caller can cause, more for what needs an operator, less for routine calls and for calls that were
 * refused for overload, which another line reports.
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

function logMembersOf({
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

/** Enough of an id to recognize it, and never the whole id. */
export function beginningOf(id: string): string {
  return `${id.slice(0, Math.min(8, id.length / 2))}…`;
}
