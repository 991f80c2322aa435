import { Code, ConnectError } from "@connectrpc/connect";
import { QueryCache, QueryClient } from "@tanstack/react-query";
import { reportOutcome } from "./connection.ts";

/** Failures that pass by themselves. */
export function isPassing(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.Unavailable || code === Code.Unknown || code === Code.DeadlineExceeded;
}

/** Repeats what fails for a passing reason until it succeeds; everything else is shown at once. */
export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (error) => reportOutcome(isPassing(error) ? "lost" : "well"),
    onSuccess: () => reportOutcome("well"),
  }),
  defaultOptions: {
    queries: {
      retry: (_, error) => {
        if (!isPassing(error)) return false;
        reportOutcome("lost");
        return true;
      },
      retryDelay: (attempts) => Math.min(5_000, 500 * 2 ** attempts),
      staleTime: 5_000,
    },
    mutations: { retry: false },
  },
});
