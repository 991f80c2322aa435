import type { Logger } from "pino";
import { ServiceError } from "../domain/errors.ts";
import type { PreparationEnd, PreparationObserver } from "../preparation/observer.ts";
import { causeOf } from "./cause.ts";
import type { Metrics } from "./metrics.ts";
import { Repetitions } from "./repetitions.ts";

/**
 * Counts the jobs of this process, and logs those that may need an operator. Jobs that end the same way share
 * lines, because one disk or bucket that fails ends all of them.
 */
export function preparationObserver({ preparations: metrics }: Metrics, log: Logger): PreparationObserver {
  const troubles = new Repetitions<PreparationEnd>({
    repeated: (last, count) =>
      log.warn({ ...logMembersOf(last), cause: undefined, count }, "more preparations with this outcome"),
    over: (last, count) =>
      log.warn(
        { outcome: last.outcome, reason: reasonOf(last), count },
        "no more preparations with this outcome",
      ),
  });
  return {
    began: () => metrics.began(),
    read: (bytes) => metrics.read(bytes),
    ended(end) {
      metrics.ended(end.outcome);
      const hasLine = isTrouble(end) && troubles.isFirst(`${end.outcome} ${reasonOf(end)}`, end);
      log[hasLine ? "warn" : "debug"](logMembersOf(end), "preparation");
    },
  };
}

function isTrouble(end: PreparationEnd): boolean {
  const { outcome } = end;
  return (outcome === "failed" || outcome === "interrupted") && reasonOf(end) !== "downlease.server.stopping";
}

function reasonOf({ cause, messageId }: PreparationEnd): string | undefined {
  return cause instanceof ServiceError ? cause.messageId : messageId;
}

function logMembersOf(end: PreparationEnd) {
  const { file, outcome, durationMs, cause } = end;
  return {
    item: file.itemId,
    file: file.fileName,
    outcome,
    durationMs: Math.round(durationMs),
    reason: reasonOf(end),
    cause: causeOf(cause instanceof ServiceError ? cause.cause : cause),
  };
}
