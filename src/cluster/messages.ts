import type { ServingStatus } from "../telemetry/health.ts";
import type { LogLevel } from "../telemetry/log.ts";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";

/** Where a worker serves. */
export interface Serving {
  readonly url: string;
  readonly port: number;
}

/** Why a program can't start: the message for the user, and the exit code. */
export interface StartFailure {
  readonly message: string;
  readonly exitCode: number;
}

/** From a worker to its supervisor. */
export type WorkerMessage =
  | { readonly type: "serving"; readonly at: Serving }
  | { readonly type: "failed"; readonly failure: StartFailure }
  /** Its own metrics: the answer to "snapshot", and its last message. */
  | { readonly type: "snapshot"; readonly metrics: MetricsSnapshot }
  /** It has closed its port and finished its calls; see "left". */
  | { readonly type: "leaving" }
  /** The minimum level to log has changed. */
  | { readonly type: "logLevel"; readonly level: LogLevel }
  /** Whether it is ready; sent after every change, "NOT_SERVING" at first. */
  | { readonly type: "status"; readonly status: ServingStatus };

/** From the supervisor to a worker. */
export type SupervisorMessage =
  | { readonly type: "stop" }
  | { readonly type: "snapshot" }
  /** Read certificates, users and keys again, and open the audit log again. */
  | { readonly type: "reload" }
  /** The answer to "leaving": no more connections are handed to this worker. */
  | { readonly type: "left" };
