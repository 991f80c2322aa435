import { useMemo } from "react";
import { useIdentity } from "../login/identity.tsx";
import { useOwnSessions } from "./own-sessions.ts";
import type { FeedView } from "./session-feed.ts";
import type { ListView } from "./session-view.ts";
import { useSessionFeed } from "./use-session-feed.ts";

/** Sessions, live: those of everybody for an operator, else those of the user. @param id only this one */
export function useSessions(view: ListView, id?: string): FeedView {
  const { identity } = useIdentity();
  const isAdmin = identity.status === "signed in" && identity.isAdmin;
  const owner = identity.status === "signed in" ? identity.user : "";
  const filter = useMemo(() => (id === undefined ? {} : { id }), [id]);
  const feed = useSessionFeed(isAdmin ? filter : undefined, view);
  const own = useOwnSessions(isAdmin ? undefined : { owner, ...filter }, view);
  return isAdmin ? feed : own;
}
