import type { SessionRecord } from "../domain/session-record-store.ts";
import type { SessionFilter } from "./session-event.ts";
import type { SessionView } from "./session-view.ts";
import type { WatchedView } from "./session-watcher.ts";

/** What is read for watchers: all sessions, those of an owner, or one. */
export class FeedScope implements WatchedView {
  readonly view: SessionView;
  readonly owner: string | undefined;
  readonly id: string | undefined;
  isComplete = false;
  isTruncated = false;
  /** Whether it has to be walked once more. */
  mustWalk = true;
  /** Number of the walk that is running, else of the last one. */
  walk = 0;
  isWalking = false;
  /** The next page of the walk. */
  cursor: string | undefined;
  /** When the last walk ended, by `performance.now()`. */
  walkedAt = Number.POSITIVE_INFINITY;
  watchers = 0;

  constructor({ id, owner }: SessionFilter, view: SessionView) {
    this.view = view;
    this.id = id;
    this.owner = id === undefined ? owner : undefined;
  }

  /** Whether it has few of the sessions: these are read at once, and kept however many there are. */
  get isNarrow(): boolean {
    return this.id !== undefined || this.owner !== undefined;
  }

  get isDue(): boolean {
    return this.mustWalk || this.isWalking;
  }

  has({ id, owner }: SessionRecord): boolean {
    if (this.id !== undefined) return id === this.id;
    return this.owner === undefined || owner === this.owner;
  }
}

/** The scopes of all watchers. */
export class FeedScopes {
  readonly #view: SessionView;
  readonly #scopes = new Map<string, FeedScope>();

  constructor(view: SessionView) {
    this.#view = view;
  }

  /** The scope of a filter's watchers; `leave` is called once for each call. */
  enter(filter: SessionFilter): FeedScope {
    const scope = this.#scopes.get(keyOf(filter)) ?? new FeedScope(filter, this.#view);
    this.#scopes.set(keyOf(filter), scope);
    scope.watchers++;
    return scope;
  }

  leave(filter: SessionFilter): void {
    const scope = this.#scopes.get(keyOf(filter));
    if (scope !== undefined && --scope.watchers === 0) this.#scopes.delete(keyOf(filter));
  }

  /** Whether anybody watches all sessions. */
  get hasAll(): boolean {
    return this.#scopes.has(keyOf({}));
  }

  /** Whether the session is in a narrow scope. */
  isNamed({ id, owner }: SessionRecord): boolean {
    return this.#scopes.has(keyOf({ id })) || this.#scopes.has(keyOf({ owner }));
  }

  /** The scope whose next page is due; undefined if none is. */
  get due(): FeedScope | undefined {
    let due: FeedScope | undefined;
    for (const scope of this.#scopes.values()) {
      if (scope.isDue && (due === undefined || scope.isNarrow)) due = scope;
    }
    return due;
  }

  /** Changes may be missing. */
  walkAll(): void {
    for (const scope of this.#scopes.values()) scope.mustWalk = true;
  }

  walkThoseBefore(time: number): void {
    for (const scope of this.#scopes.values()) if (scope.walkedAt < time) scope.mustWalk = true;
  }
}

function keyOf({ id, owner }: SessionFilter): string {
  if (id !== undefined) return `id ${id}`;
  return owner === undefined ? "" : `owner ${owner}`;
}
