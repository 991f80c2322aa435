import type { BandwidthStore } from "./bandwidth-store.ts";
import type { LinkKeyStore } from "./link-key-store.ts";
import type { LoginStore } from "./login-store.ts";
import type { PreparationStore } from "./preparation-store.ts";
import type { ReplicaStore } from "./replica-store.ts";
import type { SessionChanges } from "./session-changes.ts";
import type { SessionFileStore } from "./session-file-store.ts";
import type { SessionRecordStore } from "./session-record-store.ts";
import type { SessionStore } from "./session-store.ts";
import type { SettingsStore } from "./settings-store.ts";

/**
 * All state that outlives a call, shared by the processes that use the same backend. Its stores share one connection,
 * which the backend owns: disposing of the backend ends all work, and calls in flight may be rejected.
 *
 * A backend that can't be reached rejects with a ServiceError `downlease.store.unavailable` within a second; the
 * outcome of the call is then unknown.
 */
export interface Backend extends AsyncDisposable {
  readonly sessions: SessionStore;
  readonly sessionFiles: SessionFileStore;
  readonly sessionRecords: SessionRecordStore;
  readonly sessionChanges: SessionChanges;
  readonly logins: LoginStore;
  readonly preparations: PreparationStore;
  readonly linkKeys: LinkKeyStore;
  readonly settings: SettingsStore;
  readonly bandwidth: BandwidthStore;
  readonly replicas: ReplicaStore;

  /**
   * Announces every session that is canceled, fails or is deleted from now on, by any process; expiry is not
   * announced. A session may be announced more than once.
   *
   * @param established called whenever `isReliable` becomes true: earlier ends may not have been announced, so the
   *   subscriber has to look at its sessions once more
   */
  watchEnds(ended: (sessionId: string) => void, established?: () => void): EndsSubscription;

  /**
   * Resolves when a session could be created now; it may write a little to find out. Rejects with a ServiceError
   * `downlease.store.unavailable` whose cause says why, within a second. The readiness of the service follows it.
   */
  probe(): Promise<void>;

  /** What it says about itself. Rejects with a ServiceError `downlease.store.unavailable` when it does not respond. */
  describe(): Promise<BackendFacts>;
}

export interface BackendFacts {
  /** For example `Redis`, `Redis Cluster` or `SQLite`. */
  readonly kind: string;
  /** Bytes of memory, or of the file, that it uses and may use; undefined when it does not say, or has no limit. */
  readonly usedBytes: number | undefined;
  readonly maxBytes: number | undefined;
}

export interface EndsSubscription {
  /**
   * Whether every end is announced within moments, whichever process causes it. While it is not, the subscriber has to
   * look at its sessions from time to time.
   */
  readonly isReliable: boolean;
  /** No end is announced afterwards. */
  stop(): void;
}
