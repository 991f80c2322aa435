import type { Logger } from "pino";
import type { DownloadObserver, DownloadOutcome, DownloadRecord } from "../calls/download-record.ts";
import { beginningOf, overloadCounter } from "./call-observer.ts";
import { causeOf } from "./cause.ts";
import type { Metrics } from "./metrics.ts";

/** Files that could not be sent for reasons other than the client are problems for the operator. */
const levels: Record<DownloadOutcome, "debug" | "info" | "warn" | "error"> = {
  complete: "info",
  client_gone: "info",
  session_ended: "info",
  stalled: "info",
  offloaded: "info",
  server_stopping: "info",
  refused: "info",
  nothing_sent: "debug",
  content_changed: "warn",
  read_failed: "error",
  failed: "warn",
};

/** Counts and logs downloads: one line each, without the link, because anyone who has the link can read the file. */
export function downloadObserver({ downloads }: Metrics, log: Logger): DownloadObserver {
  const countOverload = overloadCounter(log, "downloads");
  return {
    ...downloads,
    finished(record) {
      downloads.finished(record.outcome);
      const isOverload = record.error?.messageId === "downlease.server.overloaded";
      if (isOverload) countOverload();
      const level = isOverload ? "debug" : levelOf(record);
      if (log.isLevelEnabled(level)) log[level](logMembersOf(record), "download");
    },
  };
}

function levelOf({ outcome, error }: DownloadRecord): "debug" | "info" | "warn" | "error" {
  return error?.kind === "internal_server_error" ? "error" : levels[outcome];
}

function logMembersOf({ sessionId, fileName, error, cause, durationMs, ...rest }: DownloadRecord) {
  return {
    ...rest,
    durationMs: Math.round(durationMs * 1000) / 1000,
    session: sessionId && beginningOf(sessionId),
    file: fileName,
    reason: error?.messageId,
    cause: causeOf(cause),
  };
}
