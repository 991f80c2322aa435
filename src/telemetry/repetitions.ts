/** How long repetitions are counted before a line reports them. */
const intervalMs = 1000;

/** More kinds at a time share one count. */
const maxKinds = 256;
const otherKinds = "other";

export interface RepetitionReports<Event> {
  /**
   * Events of one kind have repeated during the last second.
   *
   * @param last the last one
   * @param count how many there were in this second
   */
  readonly repeated: (last: Event, count: number) => void;
  /**
   * A second has passed without an event of a kind that has repeated.
   *
   * @param last the last one
   * @param count how many there were, the first one included
   */
  readonly over: (last: Event, count: number) => void;
}

/** Events of one kind that follow each other within a second. */
interface Series<Event> {
  last: Event;
  /** Since the last report. */
  fresh: number;
  total: number;
}

/**
 * Keeps events that come in masses from filling the log: the first of a kind has a line of its own, the others are reported
 * together once a second, and a last line says that they are over.
 */
export class Repetitions<Event> {
  readonly #reports: RepetitionReports<Event>;
  readonly #series = new Map<string, Series<Event>>();

  constructor(reports: RepetitionReports<Event>) {
    this.#reports = reports;
  }

  /** Returns whether the event is the first of its kind, so that it has a line of its own. */
  isFirst(kind: string, event: Event): boolean {
    const key = this.#series.has(kind) || this.#series.size < maxKinds ? kind : otherKinds;
    const series = this.#series.get(key);
    if (series === undefined) {
      this.#series.set(key, { last: event, fresh: 0, total: 1 });
      this.#reportLater(key);
      return true;
    }
    series.last = event;
    series.fresh++;
    series.total++;
    return false;
  }

  #reportLater(key: string): void {
    setTimeout(() => this.#report(key), intervalMs).unref();
  }

  #report(key: string): void {
    const { last, fresh, total } = this.#series.get(key)!;
    if (fresh > 0) {
      this.#series.get(key)!.fresh = 0;
      this.#reports.repeated(last, fresh);
      this.#reportLater(key);
      return;
    }
    this.#series.delete(key);
    if (total > 1) this.#reports.over(last, total);
  }
}
