/** What the studies measure, round by round. Everything else in a run's output is computed from it. */
import { ratio, type Spread, spread } from "./statistics.ts";

/** Of one study; can be written as JSON. */
export interface Figures {
  /** By the names that rounds use. */
  readonly metrics: Readonly<Record<string, Metric>>;
  readonly rows: readonly FigureRow[];
  /** Names of rows that this machine cannot measure, and what they need. */
  readonly missing?: Readonly<Record<string, string>>;
}

export interface Metric {
  readonly unit: string;
  /** "neither" is for values that explain others. */
  readonly better: "more" | "less" | "neither";
  /** Whether it is about the same on another machine, as bytes are; the speed of a machine changes the others. */
  readonly isSteady?: boolean;
}

export interface FigureRow {
  /** Unique in its study. */
  readonly name: string;
  /** Row that was measured in the same rounds; the ratio to it holds on other machines, too. */
  readonly peer?: string;
  /** Whether it is not the service that was measured. */
  readonly isPeer?: boolean;
  /** A value for each metric that the row has. */
  readonly rounds: readonly Round[];
}

export type Round = Readonly<Record<string, number>>;

/** A row that was not measured because this machine lacks something. */
export class RowMissing extends Error {
  readonly needs: string;

  constructor(row: string, needs: string) {
    super(`${row} was not measured: needs ${needs}`);
    this.needs = needs;
  }
}

/**
 * One value a round.
 *
 * @throws RowMissing
 * @throws Error when there is no such row or metric
 */
export function valuesOf(figures: Figures, row: string, metric: string): number[] {
  const found = figures.rows.find(({ name }) => name === row);
  if (found === undefined) {
    const needs = figures.missing?.[row];
    throw needs === undefined ? new Error(`no row ${row}`) : new RowMissing(row, needs);
  }
  return found.rounds.map((round) => {
    const value = round[metric];
    if (value === undefined) throw new Error(`${row} has no ${metric}`);
    return value;
  });
}

/** @throws as `valuesOf` does */
export function spreadOf(figures: Figures, row: string, metric: string): Spread {
  return spread(valuesOf(figures, row, metric));
}

/**
 * The ratio of two rows; see `ratio`.
 *
 * @throws as `valuesOf` does
 */
export function ratioOf(figures: Figures, row: string, other: string, metric: string): Spread {
  return ratio(valuesOf(figures, row, metric), valuesOf(figures, other, metric));
}
