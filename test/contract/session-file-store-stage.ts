import { randomUUID } from "node:crypto";
import type { Role } from "../../src/domain/roles.ts";
import type { Caller, LeaseTerms, NewSession } from "../../src/domain/session.ts";
import type { SessionFileStore } from "../../src/domain/session-file-store.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { callerNamed } from "../support/callers.ts";
import { longTerms } from "./session-store-stage.ts";

/** What one process has of a store. */
export interface FileStoreInstance {
  readonly sessions: SessionStore;
  readonly files: SessionFileStore;
}

/** One store, as a suite for every implementation needs it. */
export interface OpenFileStores {
  readonly one: FileStoreInstance;
  /** Another instance on the same data, as another replica has it. */
  readonly other: FileStoreInstance;
  /** Milliseconds by the clock that decides about leases. */
  now(): Promise<number>;
  close(): Promise<void>;
}

/** @param otherTerms what the other instance is configured with, when it differs */
export type OpenFileStoresWith = (terms: LeaseTerms, otherTerms?: LeaseTerms) => Promise<OpenFileStores>;

export interface FileStoreContractOptions {
  /** Why what one instance ends is not told to the other. */
  readonly untoldToOther?: string;
}

/** Stores and people of its test's own, so that tests may share a database. */
export interface FileStage extends OpenFileStores, FileStoreInstance, AsyncDisposable {
  readonly alice: Caller;
  readonly bob: Caller;
  readonly admin: Caller;
  /** What alice creates a session from. */
  newSession(members?: Partial<NewSession>): NewSession;
  /** The id of a new session of alice. */
  newSessionId(): Promise<string>;
}

export async function setFileStage(
  open: OpenFileStoresWith,
  terms = longTerms,
  otherTerms = terms,
): Promise<FileStage> {
  const stores = await open(terms, otherTerms);
  const person = (name: string, ...roles: Role[]) => callerNamed(`${name} ${randomUUID()}`, ...roles);
  const alice = person("alice");
  const newSession: FileStage["newSession"] = (members) => ({
    id: randomUUID(),
    owner: alice.principal,
    libraryItemId: "item-1",
    contentVersion: "v7",
    ...members,
  });
  return {
    ...stores,
    ...stores.one,
    alice,
    bob: person("bob"),
    admin: person("root", "admin"),
    newSession,
    newSessionId: async () => (await stores.one.sessions.create(newSession())).id,
    [Symbol.asyncDispose]: () => stores.close(),
  };
}

/** Names that files have, or might be given to do harm. */
export const oddNames: Record<string, string> = {
  plain: "disk-1.vmdk",
  "of many scripts": "Zoë 李 🦉 \u202e.ova",
  "of 255 bytes": `${"ü".repeat(126)}.md`,
  "very long": "x".repeat(100_000),
  empty: "",
  blank: " ",
  "with line ends": "a\r\n$5\r\nb\n",
  "with a null": "a\0b",
  "with quotes": "' OR 1=1 -- \" ` \\",
  "a member of every object": "__proto__",
  "another member of every object": "constructor",
  "one of the session's own fields": "s",
  "one of its own marks": "r:b:x",
  "a placeholder": "%s %d {0} $1 $&",
  "a number": "42",
};
