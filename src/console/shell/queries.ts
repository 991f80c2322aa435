import { QueryCache, QueryClient } from "@tanstack/react-query";
import { reportOutcome } from "./connection.ts";
import { isPassing } from "./passing.ts";

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
