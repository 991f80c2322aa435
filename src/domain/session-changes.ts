/** A change of a session, with what the process that made it knows. */
export type SessionChange =
  | { readonly id: string; readonly kind: "created" | "ended" | "deleted" }
  /** Its lease was renewed. Milliseconds since the epoch; percent. */
  | { readonly id: string; readonly kind: "renewed"; readonly expiresAt: number; readonly progress: number }
  /** Something else of it has changed, such as the bytes that were sent. */
  | { readonly id: string; readonly kind: "touched" };

export interface ChangesListener {
  changed(changes: readonly SessionChange[]): void;
  /** Changes before this moment may be missing: the sessions have to be read again. */
  missed(): void;
}

/**
 * Announces changes of sessions to the processes that watch them. Who watches is known to every process within about a
 * second, so that changes are published only while somebody does. Expiry is not announced.
 */
export interface SessionChanges {
  /** Whether changes have to be published. Each renewal of a lease reads it. */
  readonly isWatched: boolean;

  /** Begins to follow who watches; `isWatched` is false before. Changes before are `missed` by those that watch. */
  follow(): void;

  /**
   * Publishes changes of this process, or that some are missing. Rejects with ServiceError
   * `downlease.store.unavailable` when they may not have reached everybody.
   */
  publish(changes: readonly SessionChange[] | "missed"): Promise<void>;

  /** Receives the changes of all processes. `missed` is also called once every process knows about this watch. */
  watch(listener: ChangesListener): { stop(): void };
}

/** How often a process that watches says so, and how long that counts. Milliseconds. */
export const watchPulse = { everyMs: 1_000, countsMs: 2_500 } as const;

/** Writes changes as one text. */
export function formatChanges(changes: readonly SessionChange[]): string {
  return JSON.stringify(
    changes.map((change) =>
      change.kind === "renewed"
        ? [change.kind, change.id, change.expiresAt, change.progress]
        : [change.kind, change.id],
    ),
  );
}

/** Reads what `formatChanges` has written; undefined for anything else, as another release may write it. */
export function parseChanges(text: string): SessionChange[] | undefined {
  try {
    return (JSON.parse(text) as unknown[][]).map(changeOf);
  } catch {
    return undefined;
  }
}

function changeOf([kind, id, expiresAt, progress]: readonly unknown[]): SessionChange {
  if (typeof id !== "string") throw new TypeError("no id");
  switch (kind) {
    case "renewed":
      if (typeof expiresAt !== "number" || typeof progress !== "number") throw new TypeError("no numbers");
      return { id, kind, expiresAt, progress };
    case "created":
    case "ended":
    case "deleted":
    case "touched":
      return { id, kind };
    default:
      throw new TypeError("unknown kind");
  }
}
