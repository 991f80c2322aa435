import type { Logger } from "pino";
import type { DownloadObserver, DownloadOutcome, DownloadRecord } from "../calls/download-record.ts";
import { overloadCounter } from "./call-observer.ts";
import { causeOf } from "./cause.ts";
import { loggedId } from "./logged-id.ts";
import type { Metrics } from "./metrics.ts";
import { Repetitions } from "./repetitions.ts";

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
  checksum_mismatch: "warn",
  read_failed: "error",
  failed: "warn",
};

/** Outcomes of requests that have cost a client little, so that they may come in masses. */
const cheap: readonly DownloadOutcome[] = [
  "refused",
  "failed",
  "read_failed",
  "content_changed",
  "checksum_mismatch",
];

/**
 * Counts and logs downloads: one line each, without the link, because anyone who has the link can read the file. Requests
 * that are refused or fail for the same reason share lines.
 */
export function downloadObserver({ downloads }: Metrics, log: Logger): DownloadObserver {
  const countOverload = overloadCounter(log, "downloads");
  const refusals = new Repetitions<DownloadRecord>({
    repeated: (last, count) =>
      log[levelOf(last)](
        { ...logMembersOf(last), cause: undefined, count },
        "more downloads with this outcome",
      ),
    over: (last, count) =>
      log[levelOf(last)](
        { outcome: last.outcome, reason: last.error?.messageId, count },
        "no more downloads with this outcome",
      ),
  });
  return {
    ...downloads,
    finished(record) {
      downloads.finished(record);
      if (isOverload(record.error)) countOverload();
      let level = levelOf(record);
      if (comesInMasses(record) && log.isLevelEnabled(level) && !refusals.isFirst(kindOf(record), record))
        level = "debug";
      if (log.isLevelEnabled(level)) log[level](logMembersOf(record), "download");
    },
  };
}

function comesInMasses({ outcome, error }: DownloadRecord): boolean {
  return cheap.includes(outcome) && error?.kind !== "internal_server_error" && !isOverload(error);
}

function isOverload(error: DownloadRecord["error"]): boolean {
  return error?.messageId === "downlease.server.overloaded";
}

function kindOf({ outcome, error }: DownloadRecord): string {
  return `${outcome} ${error?.messageId}`;
}

function levelOf({ outcome, error }: DownloadRecord): "debug" | "info" | "warn" | "error" {
  if (isOverload(error)) return "debug";
  return error?.kind === "internal_server_error" ? "error" : levels[outcome];
}

function logMembersOf({ sessionId, fileName, error, cause, durationMs, ...rest }: DownloadRecord) {
  return {
    ...rest,
    durationMs: Math.round(durationMs * 1000) / 1000,
    session: sessionId && loggedId(sessionId),
    file: fileName,
    reason: error?.messageId,
    cause: causeOf(cause),
  };
}
