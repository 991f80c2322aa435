import { useSyncExternalStore } from "react";

/** Whether the service answers. */
export type ConnectionState = "well" | "lost";

let state: ConnectionState = "well";
const listeners = new Set<() => void>();

/** Reports how a call has ended: whether the service answered at all. */
export function reportOutcome(outcome: ConnectionState): void {
  if (outcome === state) return;
  state = outcome;
  for (const listener of listeners) listener();
}

export function useConnection(): ConnectionState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}
