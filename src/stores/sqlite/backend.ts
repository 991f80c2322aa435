import type { Backend, BackendFacts, EndsSubscription } from "../../domain/backend.ts";
import { LeaseCounts } from "../../domain/lease-counts.ts";
import type { LoginTerms } from "../../domain/login-store.ts";
import type { LeaseTerms } from "../../domain/session.ts";
import type { SqliteDatabase } from "./database.ts";
import { SqliteBandwidthStore } from "./sqlite-bandwidth-store.ts";
import { SqliteLinkKeyStore } from "./sqlite-link-key-store.ts";
import { SqliteLoginStore } from "./sqlite-login-store.ts";
import { SqlitePreparationStore } from "./sqlite-preparation-store.ts";
import { SqliteReplicaStore } from "./sqlite-replica-store.ts";
import { SqliteSessionChanges } from "./sqlite-session-changes.ts";
import { SqliteSessionFileStore } from "./sqlite-session-file-store.ts";
import { SqliteSessionRecordStore } from "./sqlite-session-record-store.ts";
import { SqliteSessionStore } from "./sqlite-session-store.ts";
import { SqliteSettingsStore } from "./sqlite-settings-store.ts";

export interface SqliteBackendOptions {
  readonly leaseTerms: LeaseTerms;
  readonly loginTerms: LoginTerms;
  readonly leaseCounts?: LeaseCounts;
}

/**
 * Everything in an SQLite file: one machine, no other process needed, nothing lost when the process ends, however
 * abruptly. Ends of sessions are announced within the process only; other processes that share the file hear of changes of sessions while they watch them.
 */
export class SqliteBackend implements Backend {
  readonly sessions: SqliteSessionStore;
  readonly sessionFiles: SqliteSessionFileStore;
  readonly sessionRecords: SqliteSessionRecordStore;
  readonly sessionChanges: SqliteSessionChanges;
  readonly logins: SqliteLoginStore;
  readonly preparations: SqlitePreparationStore;
  readonly linkKeys: SqliteLinkKeyStore;
  readonly settings: SqliteSettingsStore;
  readonly bandwidth: SqliteBandwidthStore;
  readonly replicas: SqliteReplicaStore;
  readonly #database: SqliteDatabase;

  /** @param database closed with the backend */
  constructor(
    database: SqliteDatabase,
    { leaseTerms: terms, loginTerms, leaseCounts: counts = new LeaseCounts() }: SqliteBackendOptions,
  ) {
    this.#database = database;
    this.sessions = new SqliteSessionStore({ database, terms, counts });
    this.sessionFiles = new SqliteSessionFileStore({ database, terms, counts });
    this.sessionRecords = new SqliteSessionRecordStore(database);
    this.sessionChanges = new SqliteSessionChanges(database);
    this.logins = new SqliteLoginStore({ database, terms: loginTerms });
    this.preparations = new SqlitePreparationStore(database);
    this.linkKeys = new SqliteLinkKeyStore(database);
    this.settings = new SqliteSettingsStore(database);
    this.bandwidth = new SqliteBandwidthStore(database);
    this.replicas = new SqliteReplicaStore(database);
  }

  watchEnds(ended: (sessionId: string) => void): EndsSubscription {
    const { ends, isPrivate } = this.#database;
    ends.on("session", ended);
    return {
      // From the start and forever, so that `established` is never called.
      isReliable: isPrivate,
      stop: () => {
        ends.off("session", ended);
      },
    };
  }

  probe(): Promise<void> {
    return this.#database.probe();
  }

  async describe(): Promise<BackendFacts> {
    return { kind: "SQLite", usedBytes: this.#database.size(), maxBytes: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.sessionChanges.close();
    this.#database.close();
  }
}
