/** What clients did and what they were answered: the input of the checker. */

export type OperationKind =
  | "create"
  | "get"
  | "keepAlive"
  | "cancel"
  | "fail"
  | "delete"
  | "list"
  | "prepare"
  | "fileGet"
  | "download";

export type SessionState = "ACTIVE" | "CANCELED" | "ERROR";

/**
 * How a call ended.
 *
 * - `ok`, `not_found`, `not_active`: the service's definite answer. A link that is closed is `not_found`.
 * - `unknown`: no definite answer (UNAVAILABLE, a cut connection, a timeout). The call may take effect at any later
 *   time, or never.
 * - `not_sent`: the call never left the load balancer, so it has no effect.
 * - `unexpected`: an answer that no client should ever see, such as an internal error.
 */
export type Outcome = "ok" | "not_found" | "not_active" | "unknown" | "not_sent" | "unexpected";

/** What a client learned from an answer that was `ok`. */
export interface Shown {
  readonly state?: SessionState;
  /** Percent, as stored. */
  readonly progress?: number;
  /** Milliseconds since the epoch: the session lives at least until then. */
  readonly expiresAt?: number;
  readonly item?: string;
  /** Error message of a session in state ERROR: the mark of the `fail` that ended it. */
  readonly mark?: string;
  /** Ids in the answer of `list`. */
  readonly ids?: ReadonlySet<string>;
  /** Whether a file had a download link, which only files of ACTIVE sessions have. */
  readonly hasLink?: boolean;
  /** What is wrong with a download that looked complete; undefined when its bytes are right. */
  readonly damage?: string;
}

/** One call. Times are milliseconds since the epoch by a monotonic clock. */
export interface Operation {
  readonly kind: OperationKind;
  readonly worker: number;
  readonly protocol: string;
  readonly principal: string;
  /** Undefined for `list`, and for a `create` without a definite answer. */
  readonly session?: string | undefined;
  /** Of `create`: the item asked for. */
  readonly item?: string;
  /** Of `create`: the client token, with which several calls name one session. */
  readonly token?: string | undefined;
  /** Of `keepAlive`: the progress sent. */
  readonly progress?: number | undefined;
  /** Of `fail`: the error message sent, unique in the history. */
  readonly mark?: string;
  readonly invokedAt: number;
  /** When the answer was there. Of a download: when its first byte was, which is when the link was open. */
  readonly answeredAt: number;
  /** Of `download`: when its last byte came, or when it was cut. */
  readonly endedAt?: number | undefined;
  readonly outcome: Outcome;
  /** Status or error code, for people. */
  readonly detail?: string | undefined;
  readonly shown?: Shown | undefined;
}

/** Milliseconds since the epoch; never steps back, whatever happens to the system's clock. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

/** One line that a person can read. @param origin time that counts as 0 */
export function describeOperation(operation: Operation, origin: number): string {
  const { kind, worker, protocol, principal, invokedAt, answeredAt, outcome, detail, shown } = operation;
  const seconds = (time: number) => `${((time - origin) / 1000).toFixed(3).padStart(8)} s`;
  const argument = operation.progress ?? operation.mark ?? "";
  const answer = [
    outcome,
    detail?.slice(0, 80),
    shown?.state,
    shown?.progress !== undefined && `progress ${shown.progress}`,
    shown?.mark !== undefined && `message ${shown.mark}`,
    shown?.expiresAt !== undefined && `until ${seconds(shown.expiresAt).trim()}`,
    shown?.damage,
    operation.endedAt !== undefined && `read until ${seconds(operation.endedAt).trim()}`,
  ].filter(Boolean);
  return `${seconds(invokedAt)} to ${seconds(answeredAt)}  ${principal} (worker ${worker}, ${protocol}) ${kind}(${argument}): ${answer.join(", ")}`;
}
