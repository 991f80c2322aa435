import { randomUUID } from "node:crypto";
import type { LoginStore, LoginTerms, NewLogin } from "../../src/domain/login-store.ts";
import { callerNamed } from "../support/callers.ts";

/** One login store, as a suite for every implementation needs it. */
export interface OpenLoginStores {
  readonly store: LoginStore;
  /** Another instance on the same data, as another replica has it. */
  readonly second: LoginStore;
  /** Milliseconds since the epoch by the clock that decides about login sessions. */
  now(): Promise<number>;
  close(): Promise<void>;
}

/** @param secondTerms what the second instance is configured with, when it differs */
export type OpenLoginStoresWith = (terms: LoginTerms, secondTerms?: LoginTerms) => Promise<OpenLoginStores>;

/** Long enough that nothing expires while a test runs. */
export const longLoginTerms: LoginTerms = { idleMs: 60_000, lifetimeMs: 120_000 };

export type LoginStage = OpenLoginStores & AsyncDisposable;

export async function setLoginStage(
  open: OpenLoginStoresWith,
  terms = longLoginTerms,
  secondTerms = terms,
): Promise<LoginStage> {
  const stores = await open(terms, secondTerms);
  return { ...stores, [Symbol.asyncDispose]: () => stores.close() };
}

/** Of a person of its test's own. */
export function newLogin(members: Partial<NewLogin> = {}): NewLogin {
  return { ...callerNamed(`alice ${randomUUID()}`), proof: "a proof", ...members };
}

/** What nobody was given as an identifier, made from one that somebody was. */
export function hostileIds(id: string): Record<string, string> {
  return {
    empty: "",
    short: id.slice(1),
    long: `${id}0`,
    "in capitals": id.toUpperCase(),
    "with a blank before": ` ${id}`,
    "with a line end": `${id}\n`,
    "with a null": `${id}\0`,
    huge: "0".repeat(2 ** 22),
    "of control characters": "\u0000\u0007\u001b[2J\r\n\u007f".repeat(4),
    binary: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString("latin1"),
    "half a surrogate pair": "\ud800".repeat(32),
    "a pattern": "*".repeat(32),
    "a Redis key": `dl:login:{${id}}`,
    "a member of every object": "__proto__",
    SQL: "' OR 1=1 --",
    "never given": randomUUID().replaceAll("-", ""),
  };
}
