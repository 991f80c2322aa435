import { Code, ConnectError } from "@connectrpc/connect";

/** Whether a failure passes by itself: the service is restarted, overloaded or can't be reached. */
export function isPassing(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.Unknown || code === Code.DeadlineExceeded;
}
