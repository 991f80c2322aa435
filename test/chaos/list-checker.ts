import type { Operation } from "./history.ts";
import { promisedUntil as promiseOf, type SessionHistory, type Terms } from "./session-history.ts";
import type { Violation } from "./violation.ts";

/** When a session must be in lists, and when it must not. */
interface Listing {
  readonly session: SessionHistory;
  /** Answers that promise that the session lives, by answer. */
  readonly promises: readonly { readonly by: Operation; readonly until: number }[];
  /** The latest of them. */
  readonly promisedUntil: number;
  /** The first attempt to delete it, or when it was not found. */
  readonly mayBeGoneFrom: number;
  /** The first answer that says that it is gone. */
  readonly goneBy: Operation | undefined;
  /** Whether a late creation could have made it once more. */
  readonly mayReturn: boolean;
}

/** Lists have the caller's sessions that must be there, none that are gone, and none of others. */
export function listViolations(
  operations: readonly Operation[],
  sessions: readonly SessionHistory[],
  terms: Terms,
): Violation[] {
  const lists = operations.filter(({ kind, outcome }) => kind === "list" && outcome === "ok");
  if (lists.length === 0) return [];
  const listings = new Map(sessions.map((session) => [session.id, listingOf(session, terms)]));
  const byOwner = Map.groupBy(listings.values(), ({ session }) => session.owner);
  // Of what was created without an answer nobody knows the id; each is one session at most.
  const unanswered = operations.filter(({ kind, outcome }) => kind === "create" && outcome === "unknown");
  return lists.flatMap((list) => [
    ...(byOwner.get(list.principal) ?? []).flatMap((listing) => missing(list, listing, terms)),
    ...[...list.shown!.ids!].flatMap((id) => {
      const listing = listings.get(id);
      return listing === undefined ? [] : wrongly(list, listing);
    }),
    ...ofNobody(
      list,
      [...list.shown!.ids!].filter((id) => !listings.has(id)),
      unanswered,
    ),
  ]);
}

function listingOf(session: SessionHistory, terms: Terms): Listing {
  const { own } = session;
  const promises = own
    .flatMap((by) => {
      const until = promiseOf(by, terms);
      return until === undefined ? [] : [{ by, until }];
    })
    .sort((left, right) => left.by.answeredAt - right.by.answeredAt);
  const goneAttempts = own.filter(({ kind }) => kind === "delete").map(({ invokedAt }) => invokedAt);
  const notFound = own.filter(({ kind, outcome }) => outcome === "not_found" && kind !== "download");
  const deleted = own.filter(({ kind, outcome }) => kind === "delete" && outcome === "ok");
  const [goneBy] = [...notFound, ...deleted].sort((left, right) => left.answeredAt - right.answeredAt);
  return {
    session,
    promises,
    promisedUntil: promises.reduce((latest, { until }) => Math.max(latest, until), 0),
    mayBeGoneFrom: Math.min(...goneAttempts, ...notFound.map(({ invokedAt }) => invokedAt)),
    goneBy,
    mayReturn: own.filter(({ kind }) => kind === "create").length > 1,
  };
}

function missing(list: Operation, listing: Listing, { allowanceMs }: Terms): Violation[] {
  const { session, promises, promisedUntil, mayBeGoneFrom } = listing;
  if (promisedUntil - allowanceMs <= list.answeredAt || mayBeGoneFrom <= list.answeredAt) return [];
  if (list.shown!.ids!.has(session.id)) return [];
  const promise = promises.findLast(
    ({ by, until }) => by.answeredAt < list.invokedAt && until - allowanceMs > list.answeredAt,
  );
  if (promise === undefined) return [];
  const text = `The session had been promised for ${Math.floor(promise.until - list.answeredAt)} ms more.`;
  return [{ kind: "list misses a session", session: session.id, text, operations: [promise.by, list] }];
}

/** Sessions in a list that no creation gave, and that are too many for those without an answer. */
function ofNobody(list: Operation, ids: readonly string[], unanswered: readonly Operation[]): Violation[] {
  const possible = unanswered.filter(
    ({ principal, invokedAt }) => principal === list.principal && invokedAt < list.answeredAt,
  );
  if (ids.length <= possible.length) return [];
  const text = `${ids.join(", ")}: no creation gave these, and ${possible.length} may have been made without an answer.`;
  return [{ kind: "list has a session of nobody", text, operations: [list] }];
}

/** A session that is in a list. */
function wrongly(list: Operation, { session, goneBy, mayReturn }: Listing): Violation[] {
  const { id, owner } = session;
  if (owner !== list.principal) {
    const text = `The session belongs to ${owner}, and ${list.principal} was shown its id.`;
    return [{ kind: "seen by a stranger", session: id, text, operations: [list] }];
  }
  if (mayReturn || goneBy === undefined || goneBy.answeredAt >= list.invokedAt) return [];
  const text = "The session was gone before the list was asked for.";
  return [{ kind: "list has a dead session", session: id, text, operations: [goneBy, list] }];
}
