import { randomUUID } from "node:crypto";
import { expect, it } from "vitest";
import type { Role } from "../../src/domain/roles.ts";
import type { Caller, LeaseTerms, NewSession } from "../../src/domain/session.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { callerNamed } from "../support/callers.ts";

/** One store, as a suite for every implementation needs it. */
export interface OpenStores {
  readonly store: SessionStore;
  /** Another instance on the same data, as another replica has it. */
  readonly second: SessionStore;
  /** Milliseconds by the clock that decides about leases. */
  now(): Promise<number>;
  close(): Promise<void>;
}

/** @param secondTerms what the second instance is configured with, when it differs */
export type OpenStoresWith = (terms: LeaseTerms, secondTerms?: LeaseTerms) => Promise<OpenStores>;

export interface ContractOptions {
  /** Why there can't be a second instance; the cases that need one are then skipped under their names. */
  readonly noSecond?: string;
}

/** Long enough that nothing expires while a test runs. */
export const longTerms: LeaseTerms = { leaseMs: 60_000, retentionMs: 30_000 };
export const briefTerms: LeaseTerms = { leaseMs: 300, retentionMs: 300 };

/** A store and people of its test's own, so that tests may share a database. */
export interface Stage extends OpenStores, AsyncDisposable {
  readonly alice: Caller;
  readonly bob: Caller;
  readonly admin: Caller;
  /** What alice creates a session from. */
  newSession(members?: Partial<NewSession>): NewSession;
}

export async function setStage(
  open: OpenStoresWith,
  terms: LeaseTerms,
  secondTerms?: LeaseTerms,
): Promise<Stage> {
  const stores = await open(terms, secondTerms);
  const person = (name: string, ...roles: Role[]) => callerNamed(`${name} ${randomUUID()}`, ...roles);
  const alice = person("alice");
  return {
    ...stores,
    alice,
    bob: person("bob"),
    admin: person("root", "admin"),
    newSession: (members) => ({
      id: randomUUID(),
      owner: alice.principal,
      libraryItemId: "item-1",
      contentVersion: "v7",
      ...members,
    }),
    [Symbol.asyncDispose]: () => stores.close(),
  };
}

/** The `it` for cases that need a second instance. */
export function itWithSecond({
  noSecond,
}: ContractOptions): (name: string, test: () => Promise<void>) => void {
  if (noSecond === undefined) return it;
  return (name) => it.skip(`${name} (skipped: ${noSecond})`);
}

/** Fails unless the lease was granted between two looks at the store's clock. */
export function expectLease(expiresAt: number, lengthMs: number, from: number, to: number): void {
  expect(expiresAt).toBeGreaterThanOrEqual(from + lengthMs);
  expect(expiresAt).toBeLessThanOrEqual(to + lengthMs);
}

export const notFound = { outcome: "not_found" };
