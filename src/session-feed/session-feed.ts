import { OpenFeed, type SessionFeedOptions } from "./open-feed.ts";
import type { SessionFilter } from "./session-event.ts";
import { SessionWatcher, type WatchStep } from "./session-watcher.ts";

/**
 * Events of sessions for any number of watchers, which share one view of all sessions. It exists while somebody watches;
 * after that nothing is read or kept.
 */
export class SessionFeed {
  readonly #options: SessionFeedOptions;
  #open: OpenFeed | undefined;

  constructor(options: SessionFeedOptions) {
    this.#options = options;
  }

  /**
   * What a watcher receives, until `over` aborts: first the sessions that exist, then what happens to them.
   *
   * @param onSlow called when too much waits for the watcher; it has to be ended then
   */
  watch(filter: SessionFilter, over: AbortSignal, onSlow: () => void): AsyncGenerator<WatchStep> {
    this.#open ??= new OpenFeed(this.#options);
    const open = this.#open;
    const watcher = new SessionWatcher(filter, open.enter(filter), over, onSlow);
    open.add(watcher);
    // Not at the end of the generator: one whose caller takes nothing does not come to it.
    const leave = () => {
      if (!open.remove(watcher)) return;
      open.close();
      if (this.#open === open) this.#open = undefined;
    };
    if (over.aborted) leave();
    else over.addEventListener("abort", leave, { once: true });
    return watcher.steps();
  }
}
