import type { Logger } from "pino";
import { ServiceError } from "../domain/errors.ts";
import type { PreparationObserver } from "../preparation/observer.ts";
import { causeOf } from "./cause.ts";
import type { Metrics } from "./metrics.ts";

/** Counts the jobs of this process, and logs those that may need an operator. */
export function preparationObserver({ preparations: metrics }: Metrics, log: Logger): PreparationObserver {
  return {
    began: () => metrics.began(),
    read: (bytes) => metrics.read(bytes),
    ended({ file, outcome, durationMs, messageId, cause }) {
      metrics.ended(outcome);
      const isOurs = cause instanceof ServiceError;
      const reason = isOurs ? cause.messageId : messageId;
      const needsOperator = outcome === "failed" || outcome === "interrupted";
      const level = needsOperator && reason !== "downlease.server.stopping" ? "warn" : "debug";
      const details = {
        item: file.itemId,
        file: file.fileName,
        outcome,
        durationMs: Math.round(durationMs),
        reason,
        cause: causeOf(isOurs ? cause.cause : cause),
      };
      log[level](details, "preparation");
    },
  };
}
