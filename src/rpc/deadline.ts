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

/**
 * Takes away a deadline that no timer can keep, such as the `99999999H` by which some gRPC clients say "never":
 * Connect would let the call time out at once. What it can't read it refuses by itself.
 */
export function dropEndlessDeadline(headers: Headers): void {
  const [, amount, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(headers.get("grpc-timeout") ?? "") ?? [];
  if (Number(amount) * (msPerUnit[unit] ?? 0) > longestTimerMs) headers.delete("grpc-timeout");
  if (Number(headers.get("connect-timeout-ms")) > longestTimerMs) headers.delete("connect-timeout-ms");
}
