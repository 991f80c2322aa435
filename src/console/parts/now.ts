import { useSyncExternalStore } from "react";
import { serviceNow } from "../shell/service-clock.ts";

let now = serviceNow();
let timer: number | undefined;
const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= window.setInterval(() => {
    now = serviceNow();
    for (const each of listeners) each();
  }, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The time of day of the service, in milliseconds since the epoch; changes once a second. One timer serves all. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}
