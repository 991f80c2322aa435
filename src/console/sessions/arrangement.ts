import { arrange, type ListView, matcher, Order } from "./session-view.ts";
import type { WatchedSession } from "./watched-session.ts";

type Rows = readonly WatchedSession[];

/** What has changed since the rows were arranged: each session by its id, as it was then; undefined for a new one. */
export type Changes = ReadonlyMap<string, WatchedSession | undefined>;

/**
 * The sessions that a view shows, in its order. Follows changes at a cost that grows with their number: of 100,000
 * sessions, those that stay as they are, are copied and not compared.
 */
export class Arrangement {
  readonly #view: ListView;
  readonly #matches: (session: WatchedSession) => boolean;
  readonly #order: Order;
  rows: Rows;

  constructor(view: ListView, sessions: ReadonlyMap<string, WatchedSession>) {
    this.#view = view;
    this.#matches = matcher(view);
    this.#order = new Order(view);
    this.rows = arrange(sessions.values(), view);
  }

  /** @param sessions as they are now */
  update(sessions: ReadonlyMap<string, WatchedSession>, changes: Changes): void {
    if (changes.size > sessions.size / 4) {
      this.rows = arrange(sessions.values(), this.#view);
      return;
    }
    const [left, entered]: [WatchedSession[], WatchedSession[]] = [[], []];
    for (const [id, before] of changes) {
      if (before !== undefined && this.#matches(before)) left.push(before);
      const now = sessions.get(id);
      if (now !== undefined && this.#matches(now)) entered.push(now);
    }
    if (left.length === 0 && entered.length === 0) return;
    this.rows = this.#merge(this.#without(left), this.#order.sort(entered));
  }

  #without(left: Rows): Rows {
    const rows: WatchedSession[] = [];
    let start = 0;
    for (const session of this.#order.sort(left)) {
      const index = this.#order.indexIn(this.rows, session, start);
      copy(this.rows, start, index, rows);
      start = index + 1;
    }
    copy(this.rows, start, this.rows.length, rows);
    return rows;
  }

  #merge(kept: Rows, entered: Rows): Rows {
    const rows: WatchedSession[] = [];
    let start = 0;
    for (const session of entered) {
      const index = this.#order.indexIn(kept, session, start);
      copy(kept, start, index, rows);
      rows.push(session);
      start = index;
    }
    copy(kept, start, kept.length, rows);
    return rows;
  }
}

function copy(source: Rows, from: number, to: number, target: WatchedSession[]): void {
  for (let index = from; index < to; index++) target.push(source[index]!);
}
