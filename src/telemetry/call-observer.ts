import type { Logger } from "pino";
import type { CallObserver, CallRecord } from "../calls/call.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import { causeOf, type LoggedCause } from "./cause.ts";
import { beginningOf, loggedId } from "./logged-id.ts";
import type { Metrics } from "./metrics.ts";
import type { LoggedCall } from "./pretty-log.ts";
import { Repetitions } from "./repetitions.ts";

/** Counts, measures and logs every finished call. Calls that are refused for the same reason share lines. */
export function callObserver(metrics: Metrics, log: Logger, clientAddressOf: ClientAddressOf): CallObserver {
  // Members that repeat are serialized once, in a child logger; a line then costs a third less.
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
  const membersOf = (record: CallRecord) => logMembersOf(record, clientAddressOf(record.call));
  const countOverload = overloadCounter(log);
  const refusals = new Repetitions<CallRecord>({
    repeated: (last, count) =>
      childFor(last)[levelOf(last)](
        { ...membersOf(last), cause: undefined, count },
        "more calls with this outcome",
      ),
    over: (last, count) =>
      childFor(last)[levelOf(last)](
        { reason: last.error?.messageId, count },
        "no more calls with this outcome",
      ),
  });
  return (record) => {
    metrics.observeCall(record);
    if (isOverload(record)) countOverload();
    let level = levelOf(record);
    if (comesInMasses(record) && log.isLevelEnabled(level) && !refusals.isFirst(kindOf(record), record))
      level = "debug";
    if (log.isLevelEnabled(level)) childFor(record)[level](membersOf(record), "call");
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
  const reason = error?.messageId;
  return reason === "downlease.server.overloaded" || reason === "downlease.server.too_many_streams";
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

function logMembersOf(
  { call, target, outcome, durationMs, sessionId, itemId, error, traceId }: CallRecord,
  peer: string,
): Omit<LoggedCall, "operation" | "protocol" | "outcome"> & LoggedFailure {
  return {
    durationMs: Math.round(durationMs * 1000) / 1000,
    peer,
    requestId: call.requestId,
    traceId,
    target: target && withoutIds(target),
    session: sessionId && loggedId(sessionId),
    item: itemId && (outcome === "ok" ? itemId : loggedId(itemId)),
    reason: error?.messageId,
    cause: error && causeOf(error.cause),
  };
}

/** Words of a path or a name that are longer than this are ids or signatures, or were never meant to be read. */
const maxWordLength = 32;

/** What a stranger asked for, in a length for the log, and without whole ids. */
function withoutIds(target: string): string {
  const words = target.slice(0, 256).split(/([/. ])/);
  return words.map((word) => (word.length >= maxWordLength ? beginningOf(word) : word)).join("");
}
