import { randomUUID } from "node:crypto";
import { expect } from "vitest";
import type { Backend } from "../../src/domain/backend.ts";
import { LeaseCounts } from "../../src/domain/lease-counts.ts";
import type { LoginTerms } from "../../src/domain/login-store.ts";
import type { Role } from "../../src/domain/roles.ts";
import type { Caller, LeaseTerms, NewSession } from "../../src/domain/session.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { callerNamed } from "../support/callers.ts";
import { longLeaseTerms, longLoginTerms } from "../support/terms.ts";
import type { TestBackend, TwoInstances } from "./backends.ts";

type Port = Exclude<keyof Backend, "watchEnds" | "probe" | typeof Symbol.asyncDispose>;

/** One port of a backend, and people of the test's own, so that tests may share a database. */
export interface Stage<P extends Port> extends TwoInstances, AsyncDisposable {
  readonly store: Backend[P];
  /** The port of the other instance, as another replica has it. */
  readonly second: Backend[P];
  readonly sessions: SessionStore;
  readonly alice: Caller;
  readonly bob: Caller;
  readonly admin: Caller;
  /** What alice creates a session from. */
  newSession(members?: Partial<NewSession>): NewSession;
  /** The id of a new session of alice. */
  newSessionId(): Promise<string>;
}

export interface StageTerms {
  readonly leaseCounts?: LeaseCounts;
  readonly leaseTerms?: LeaseTerms;
  readonly loginTerms?: LoginTerms;
}

/** @param otherTerms what the other instance is configured with, when it differs */
export async function setStage<P extends Port>(
  port: P,
  backend: TestBackend,
  {
    leaseTerms = longLeaseTerms,
    loginTerms = longLoginTerms,
    leaseCounts = new LeaseCounts(),
  }: StageTerms = {},
  otherTerms: StageTerms = {},
): Promise<Stage<P>> {
  const terms = { leaseTerms, loginTerms, leaseCounts };
  const instances = await backend.open(terms, { ...terms, ...otherTerms });
  const person = (name: string, ...roles: Role[]) => callerNamed(`${name} ${randomUUID()}`, ...roles);
  const alice = person("alice");
  const newSession: Stage<P>["newSession"] = (members) => ({
    id: randomUUID(),
    owner: alice.principal,
    libraryItemId: "item-1",
    contentVersion: "v7",
    ...members,
  });
  return {
    ...instances,
    store: instances.one[port],
    second: instances.other[port],
    sessions: instances.one.sessions,
    alice,
    bob: person("bob"),
    admin: person("root", "admin"),
    newSession,
    newSessionId: async () => (await instances.one.sessions.create(newSession())).id,
    [Symbol.asyncDispose]: () => instances.close(),
  };
}

/** Fails unless the lease was granted between two looks at the backend's clock. */
export function expectLease(expiresAt: number, lengthMs: number, from: number, to: number): void {
  expect(expiresAt).toBeGreaterThanOrEqual(from + lengthMs);
  expect(expiresAt).toBeLessThanOrEqual(to + lengthMs);
}

export const notFound = { outcome: "not_found" };
