import type { Failures, Login, LoginRecord, LoginTerms, NewLogin } from "../../domain/login-store.ts";
import { formatRoles, isAdmin, mayReadStorage, parseRoles } from "../../domain/roles.ts";
import { failureKey, loginKey, revocationChannel } from "./keys.ts";
import { type Reply, script, unexpected } from "./scripts.ts";

interface Digested {
  readonly digest: string;
}

const keyOfLogin = ({ digest }: Digested) => loginKey(digest);
const keyOfFailures = ({ digest }: Digested) => failureKey(digest);

export const openLoginScript = script<
  Digested & { readonly login: NewLogin; readonly terms: LoginTerms },
  void
>("openLogin-1", {
  key: keyOfLogin,
  args: ({ login, terms: { idleMs, lifetimeMs } }) => [
    login.principal,
    formatRoles(login.roles),
    login.proof,
    idleMs,
    lifetimeMs,
    isAdmin(login) ? 1 : 0,
    mayReadStorage(login) ? 1 : 0,
  ],
  output: done,
});

export const findLoginScript = script<
  Digested & { readonly terms: LoginTerms },
  { readonly login: Login; readonly leftMs: number } | undefined
>("findLogin-1", {
  key: keyOfLogin,
  args: ({ terms: { idleMs, lifetimeMs } }) => [idleMs, lifetimeMs],
  output: ([tag, principal, roles, proof, createdAt, now, leftMs]) => {
    if (tag === "NOT_FOUND") return undefined;
    if (tag !== "OK") throw unexpected(tag);
    const login = {
      principal: String(principal),
      roles: parseRoles(String(roles)),
      proof: String(proof),
      createdAt: Number(createdAt),
      lastUsedAt: Number(now),
    };
    return { login, leftMs: Number(leftMs) };
  },
});

/** When it was last used is not stored: it follows from its TTL. */
export const readLoginScript = script<Digested, Omit<LoginRecord, "digest" | "lastUsedAt"> | undefined>(
  "readLogin-1",
  {
    key: keyOfLogin,
    args: () => [],
    output: ([tag, principal, roles, proof, createdAt, expiresAt]) => {
      if (tag === "NOT_FOUND") return undefined;
      if (tag !== "OK") throw unexpected(tag);
      return {
        principal: String(principal),
        roles: parseRoles(String(roles)),
        proof: String(proof),
        createdAt: Number(createdAt),
        expiresAt: Number(expiresAt),
      };
    },
  },
);

/** Returns whether there was one. */
export const closeLoginScript = script<Digested, boolean>("closeLogin-1", {
  key: keyOfLogin,
  args: ({ digest }) => [revocationChannel, digest],
  output: ([tag]) => {
    if (tag !== "OK" && tag !== "NOT_FOUND") throw unexpected(tag);
    return tag === "OK";
  },
});

export const addFailureScript = script<Digested & { readonly windowMs: number }, Failures>("addFailure-1", {
  key: keyOfFailures,
  args: ({ windowMs }) => [windowMs],
  output: ([tag, count, forgottenInMs]) => {
    if (tag !== "OK") throw unexpected(tag);
    return { count: Number(count), forgottenInMs: Number(forgottenInMs) };
  },
});

export const removeFailureScript = script<Digested, void>("removeFailure-1", {
  key: keyOfFailures,
  args: () => [],
  output: done,
});

function done([tag]: Reply): void {
  if (tag !== "OK") throw unexpected(tag);
}
