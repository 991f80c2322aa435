/** The longest that a timer of Node can wait, in milliseconds: 24.8 days. A longer one fires at once. */
const longestTimerMs = 2 ** 31 - 1;

const msPerUnit: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** The milliseconds of a `grpc-timeout`; NaN when it can't be read. */
export function grpcTimeoutMs(text: string): number {
  const [, amount, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  return Number(amount) * (msPerUnit[unit] ?? Number.NaN);
}

/** The milliseconds of a `connect-timeout-ms`; NaN when it can't be read. */
export function connectTimeoutMs(text: string): number {
  return /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
}

/** Whether a timer can't wait so long: a deadline that is as good as none. */
export function isEndless(timeoutMs: number): boolean {
  return timeoutMs > longestTimerMs;
}

/**
 * Takes away a deadline that no timer can keep, such as the `99999999H` by which some gRPC clients say "never":
 * Connect would let the call time out at once. What it can't read it refuses by itself.
 */
export function dropEndlessDeadline(headers: Headers): void {
  if (isEndless(grpcTimeoutMs(headers.get("grpc-timeout") ?? ""))) headers.delete("grpc-timeout");
  if (isEndless(connectTimeoutMs(headers.get("connect-timeout-ms") ?? ""))) {
    headers.delete("connect-timeout-ms");
  }
}
