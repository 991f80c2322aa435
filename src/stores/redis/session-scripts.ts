import { isAdmin } from "../../domain/roles.ts";
import type {
  Caller,
  FinalState,
  Finish,
  NewSession,
  Refusal,
  Renewal,
  Session,
} from "../../domain/session.ts";
import { isProgress } from "../../domain/session.ts";
import { endsChannel, ownerIndexKey, sessionKey } from "./keys.ts";
import { type Reply, script, unexpected } from "./scripts.ts";

/** A session as its hash has it; its id is in the key. */
export type StoredSession = Omit<Session, "id">;

export interface SessionInput {
  readonly id: string;
  readonly caller: Caller;
}

export const keyOfSession = (input: { readonly id: string }) => sessionKey(input.id);
/** Scripts take "" for a caller that sees every session; principals are never empty. */
export const principalOf = ({ caller }: SessionInput) => (isAdmin(caller) ? "" : caller.principal);

export const keepAliveScript = script<
  SessionInput & { readonly leaseMs: number; readonly progress: number | undefined },
  Renewal | Refusal
>("keepAlive-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input), input.leaseMs, progressArgument(input.progress)],
  output: (reply) => (reply[0] === "INVALID_PROGRESS" ? { outcome: "invalid_progress" } : renewal(reply)),
});

export const createSessionScript = script<
  NewSession & { readonly leaseMs: number; readonly place: string },
  { readonly isNew: boolean; readonly session: StoredSession }
>("createSession-1", {
  key: keyOfSession,
  args: (input) => {
    const { owner, libraryItemId, contentVersion, leaseMs, place, endsWithUser } = input;
    return [owner, libraryItemId, contentVersion, leaseMs, place, endsWithUser ? 1 : ""];
  },
  output: (reply) => {
    if (reply[0] !== "CREATED" && reply[0] !== "EXISTS") throw unexpected(reply[0]);
    return { isNew: reply[0] === "CREATED", session: storedSession(reply) };
  },
});

export const readSessionScript = script<SessionInput, StoredSession | undefined>("readSession-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input)],
  output: (reply) => {
    if (reply[0] === "NOT_FOUND") return undefined;
    if (reply[0] !== "OK") throw unexpected(reply[0]);
    return storedSession(reply);
  },
});

export const finishSessionScript = script<
  SessionInput & {
    readonly state: FinalState;
    readonly retentionMs: number;
    readonly errorMessage: string | undefined;
  },
  Finish | Refusal
>("finishSession-1", {
  key: keyOfSession,
  args: (input) => {
    const args = [principalOf(input), endsChannel, input.id, input.state, input.retentionMs];
    return input.errorMessage === undefined ? args : [...args, input.errorMessage];
  },
  output: ([tag, first]) =>
    tag === "OK" ? { outcome: "finished", expiresAt: Number(first) } : refusal(tag, first),
});

/** Answers with the owner of the removed session, its place in the owner's index, and whether it was ACTIVE. */
export const deleteSessionScript = script<
  SessionInput,
  { readonly owner: string; readonly place: string; readonly wasActive: boolean } | undefined
>("deleteSession-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input), endsChannel, input.id],
  output: ([tag, owner, place, state]) => {
    if (tag === "NOT_FOUND") return undefined;
    if (tag !== "OK") throw unexpected(tag);
    return { owner: String(owner), place: String(place), wasActive: state === "ACTIVE" };
  },
});

/** Answers with the place, or undefined when there is none. */
export const takePlaceScript = script<
  {
    readonly owner: string;
    readonly id: string;
    /** 0 for any number. */
    readonly max: number;
    readonly keptMs: number;
    /** A place that was taken before is written once more. */
    readonly place?: string;
  },
  string | undefined
>("takePlace-1", {
  key: ({ owner }) => ownerIndexKey(owner),
  args: ({ id, max, keptMs, place = "" }) => [id, max, keptMs, place],
  output: ([tag, place]) => {
    if (tag === "FULL") return undefined;
    if (tag !== "OK") throw unexpected(tag);
    return String(place);
  },
});

/** What is known about a session that an index names. */
export interface IndexedSession {
  readonly id: string;
  /** The place that it had, if that is known. */
  readonly place?: string;
  /** In ms; 0 if it is gone. */
  readonly expiresAt: number;
}

/** Answers with the number of places that are taken, and ids of sessions that have to be looked at. */
export const settleIndexScript = script<
  {
    readonly owner: string;
    readonly sessions: readonly IndexedSession[];
    readonly heldMs: number;
    /** Maximum number of ids in the answer. */
    readonly length: number;
  },
  { readonly taken: number; readonly unsure: readonly string[] }
>("settleIndex-1", {
  key: ({ owner }) => ownerIndexKey(owner),
  args: ({ heldMs, length, sessions }) => [
    heldMs * 1000,
    length,
    ...sessions.flatMap(({ id, place = "", expiresAt }) => [id, place, expiresAt]),
  ],
  output: ([tag, taken, ...unsure]) => {
    if (tag !== "OK") throw unexpected(tag);
    return { taken: Number(taken), unsure: unsure.map(String) };
  },
});

function progressArgument(progress: number | undefined): string | number {
  if (progress === undefined) return "";
  return isProgress(progress) ? progress : "invalid";
}

export function renewal([tag, first, second]: Reply): Renewal | Refusal {
  if (tag !== "OK") return refusal(tag, first);
  return { outcome: "renewed", expiresAt: Number(first), progress: Number(second) };
}

function refusal(tag: string, state: string | number | undefined): Refusal {
  switch (tag) {
    case "NOT_FOUND":
      return { outcome: "not_found" };
    case "NOT_ACTIVE":
      return { outcome: "not_active", state: state as FinalState };
    default:
      throw unexpected(tag);
  }
}

export function storedSession(reply: Reply): StoredSession {
  const [, state, progress, expiresAt, owner, item, version, ofUser, message] = reply;
  return {
    owner: String(owner),
    libraryItemId: String(item),
    contentVersion: String(version),
    state: state as Session["state"],
    progress: Number(progress),
    expiresAt: Number(expiresAt),
    ...(ofUser === "1" && { endsWithUser: true }),
    ...(message !== undefined && { errorMessage: String(message) }),
  };
}
