import type { Logger } from "pino";
import type { CallObserver, CallRecord } from "../calls/call.ts";
import { causeOf, type LoggedCause } from "./cause.ts";
import type { LoggedCall } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { Repetitions } from "./repetitions.ts";

/** Counts, measures and logs every finished call. Calls that are refused for the same reason share lines. */
export function callObserver(metrics: Metrics, log: Logger): CallObserver {
  // Members that repeat are written once, into a child; that takes a third off the cost of a line.
  const children = new Map<string, Logger>();
  const childFor = ({ operation, outcome, call: { protocol } }: CallRecord) => {
    const key = `${operation} ${protocol} ${outcome}`;
    let child = children.get(key);
    if (child === undefined) {
      child = log.child({ operation, protocol, outcome });
      children.set(key, child);
    }
    return child;
  };
  const reportOverload = overloadReporter(log);
  const refusals = new Repetitions<CallRecord>({
    repeated: (last, count) =>
      childFor(last)[levelOf(last)]({ ...logged(last, false), count }, "more calls with this outcome"),
    over: (last, count) =>
      childFor(last)[levelOf(last)](
        { reason: last.error?.messageId, count },
        "no more calls with this outcome",
      ),
  });
  return (record) => {
    metrics.observeCall(record);
    if (isOverload(record)) reportOverload();
    let level = levelOf(record);
    if (comesInMasses(record) && log.isLevelEnabled(level) && !refusals.isFirst(kindOf(record), record))
      level = "debug";
    if (log.isLevelEnabled(level)) childFor(record)[level](logged(record), "call");
  };
}

/** How long calls that are refused for overload are counted before a line reports them. */
const overloadLineMs = 1000;

/** To be called for each call that is refused for overload; one line a second reports them, because they come in masses. */
export function overloadReporter(log: Logger, what = "calls"): () => void {
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

/** Refusals do, as far as they are no bug and have no line already. */
function comesInMasses(record: CallRecord): boolean {
  const { outcome } = record;
  return outcome !== "ok" && outcome !== "internal_server_error" && !isOverload(record);
}

function kindOf({ operation, outcome, error }: CallRecord): string {
  return `${operation} ${outcome} ${error?.messageId}`;
}

/**
 * What a caller can cause is information; what an operator has to see to is more, and what goes on all day is less.
 * So is a call that was refused for overload, which another line reports.
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

/** @param withCause false where a line before has it */
function logged(
  { call, durationMs, sessionId, error }: CallRecord,
  withCause = true,
): Omit<LoggedCall, "operation" | "protocol" | "outcome"> & LoggedFailure {
  return {
    durationMs: Math.round(durationMs * 1000) / 1000,
    peer: call.connection.peer,
    requestId: call.requestId,
    session: sessionId && beginningOf(sessionId),
    reason: error?.messageId,
    cause: withCause ? error && causeOf(error.cause) : undefined,
  };
}

/** Enough to find an id again by, and never the whole of it. */
export function beginningOf(id: string): string {
  return `${id.slice(0, Math.min(8, id.length / 2))}…`;
}
