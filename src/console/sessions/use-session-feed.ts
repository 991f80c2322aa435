import { useEffect, useState, useSyncExternalStore } from "react";
import { emptyFeed, type FeedView, SessionFeed, type WatchRequest } from "./session-feed.ts";
import type { ListView } from "./session-view.ts";

/**
 * Sessions, live, for as long as the component is there. Only operators may.
 *
 * @param request which ones, the same object at each call; undefined: none are watched
 */
export function useSessionFeed(request: WatchRequest | undefined, view: ListView): FeedView {
  const [feed, setFeed] = useState<SessionFeed>();
  useEffect(() => {
    if (request === undefined) return;
    const opened = new SessionFeed(request);
    setFeed(opened);
    opened.start();
    return () => opened.stop();
  }, [request]);
  useEffect(() => feed?.arrange(view), [feed, view]);
  return useSyncExternalStore(feed?.subscribe ?? noSubscription, () => feed?.view ?? emptyFeed);
}

const noSubscription = () => () => {};
