/** Longest delay of a Node.js timer, in milliseconds (24.8 days); a longer one fires at once. */
const maxTimerMs = 2 ** 31 - 1;

const msPerUnit: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Milliseconds of a `grpc-timeout` header; NaN when it is malformed. */
export function parseGrpcTimeoutMs(text: string): number {
  const [, amount, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  return Number(amount) * (msPerUnit[unit] ?? Number.NaN);
}

/** Milliseconds of a `connect-timeout-ms` header; NaN when it is malformed. */
export function parseConnectTimeoutMs(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
}

/** Whether the deadline is beyond what a timer can wait for, which is as good as none. */
export function isEndless(timeoutMs: number): boolean {
  return timeoutMs > maxTimerMs;
}

/**
 * Removes a deadline that no timer can wait for, such as the `99999999H` that some gRPC clients send for "never":
 * Connect would time the call out at once. Connect itself refuses malformed deadlines.
 */
export function dropEndlessDeadline(headers: Headers): void {
  if (isEndless(parseGrpcTimeoutMs(headers.get("grpc-timeout") ?? ""))) headers.delete("grpc-timeout");
  if (isEndless(parseConnectTimeoutMs(headers.get("connect-timeout-ms") ?? ""))) {
    headers.delete("connect-timeout-ms");
  }
}
