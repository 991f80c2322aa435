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

export const createSessionScript = script<NewSession & { readonly leaseMs: number }, StoredSession>(
  "createSession-1",
  {
    key: keyOfSession,
    args: (input) => [input.owner, input.libraryItemId, input.contentVersion, input.leaseMs],
    output: (reply) => {
      if (reply[0] !== "CREATED" && reply[0] !== "EXISTS") throw unexpected(reply[0]);
      return session(reply);
    },
  },
);

export const readSessionScript = script<SessionInput, StoredSession | undefined>("readSession-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input)],
  output: (reply) => {
    if (reply[0] === "NOT_FOUND") return undefined;
    if (reply[0] !== "OK") throw unexpected(reply[0]);
    return session(reply);
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

/** Answers with the owner of the removed session. */
export const deleteSessionScript = script<SessionInput, string | undefined>("deleteSession-1", {
  key: keyOfSession,
  args: (input) => [principalOf(input), endsChannel, input.id],
  output: ([tag, owner]) => {
    if (tag === "NOT_FOUND") return undefined;
    if (tag !== "OK") throw unexpected(tag);
    return String(owner);
  },
});

export const indexSessionScript = script<{ readonly owner: string; readonly id: string }, void>(
  "indexSession-1",
  {
    key: ({ owner }) => ownerIndexKey(owner),
    args: ({ id }) => [id],
    output: ([tag]) => {
      if (tag !== "OK") throw unexpected(tag);
    },
  },
);

/** Answers with the number of entries removed. */
export const pruneIndexScript = script<
  { readonly owner: string; readonly ids: readonly string[]; readonly minAgeSeconds: number },
  number
>("pruneIndex-1", {
  key: ({ owner }) => ownerIndexKey(owner),
  args: ({ minAgeSeconds, ids }) => [minAgeSeconds, ...ids],
  output: ([tag, removed]) => {
    if (tag !== "OK") throw unexpected(tag);
    return Number(removed);
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

function session([, state, progress, expiresAt, owner, item, version, message]: Reply): StoredSession {
  return {
    owner: String(owner),
    libraryItemId: String(item),
    contentVersion: String(version),
    state: state as Session["state"],
    progress: Number(progress),
    expiresAt: Number(expiresAt),
    ...(message !== undefined && { errorMessage: String(message) }),
  };
}
