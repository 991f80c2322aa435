/** Performance goals: each study has its own, and computes them from its figures. */
import { type Figures, RowMissing, ratioOf, spreadOf } from "./figures.ts";
import { times, withUnit } from "./formats.ts";
import type { Spread } from "./statistics.ts";

export interface Goal {
  readonly what: string;
  /** For example `≥ 1.6` or `< 5 ms`; it is met when the median is. */
  readonly target: string;
  /** @throws RowMissing */
  measure(figures: Figures): Measured;
}

export interface Measured extends Spread {
  /** The value with its spread, for people. */
  readonly text: string;
}

/** A goal after a run. */
export interface Verdict {
  readonly what: string;
  readonly target: string;
  /** Undefined when it was not measured. */
  readonly measured?: Measured | undefined;
  readonly met?: boolean | undefined;
  /** Why it was not measured. */
  readonly reason?: string | undefined;
}

export function judge(goal: Goal, figures: Figures): Verdict {
  const { what, target } = goal;
  try {
    const measured = goal.measure(figures);
    return { what, target, measured, met: meets(measured.median, target) };
  } catch (error) {
    if (error instanceof RowMissing) return unmeasured(goal, `needs ${error.needs}`);
    throw error;
  }
}

export function unmeasured({ what, target }: Goal, reason: string): Verdict {
  return { what, target, reason };
}

export function verdictCells({ what, target, measured, met, reason }: Verdict): string[] {
  if (measured === undefined) return [what, target, `not measured: ${reason}`, ""];
  return [what, target, measured.text, met ? "yes" : "**missed**"];
}

interface RatioGoal {
  readonly what: string;
  readonly target: string;
  readonly metric: string;
  /** Names of rows. */
  readonly row: string;
  readonly against: string;
  /** Metric whose ratio is printed, too. */
  readonly beside?: { readonly metric: string; readonly name: string };
}

/** A ratio of two rows of a study. */
export function ratioGoal({ what, target, metric, row, against, beside }: RatioGoal): Goal {
  return {
    what,
    target,
    measure(figures) {
      const value = ratioOf(figures, row, against, metric);
      const other = beside && ratioOf(figures, row, against, beside.metric);
      const note = other === undefined ? "" : `, ${beside?.name} ${other.median.toFixed(2)}`;
      return { ...value, text: `${times(value)}${note}` };
    },
  };
}

/** A ratio of rates, with that of the CPU times. */
export function rateGoal(what: string, target: string, row: string, against: string): Goal {
  return ratioGoal({
    what,
    target,
    metric: "rate",
    row,
    against,
    beside: { metric: "cpuMicros", name: "CPU" },
  });
}

/** A ratio of CPU times. */
export function cpuGoal(what: string, target: string, row: string, against: string): Goal {
  return ratioGoal({ what, target, metric: "cpuMicros", row, against });
}

/** A ratio of calls per second of CPU time. */
export function cpuRateGoal(what: string, target: string, row: string, against: string): Goal {
  return ratioGoal({ what, target, metric: "perCpuSecond", row, against });
}

interface ValueGoal {
  readonly what: string;
  readonly target: string;
  readonly metric: string;
  /** Names of rows; the worst of them counts, which is the one with the largest median. */
  readonly rows: readonly string[];
  /** Decimals that are printed. */
  readonly digits?: number;
  /** Whether it is the largest value of all rounds that counts, not the median. */
  readonly ofMaximum?: boolean;
}

/** A value of a row that may not be too large, in the unit of its target. */
export function valueGoal({ what, target, metric, rows, digits = 1, ofMaximum = false }: ValueGoal): Goal {
  return {
    what,
    target,
    measure(figures) {
      const values = rows
        .map((row) => spreadOf(figures, row, metric))
        .map((value) => (ofMaximum ? { ...value, median: value.max } : value));
      const worst = values.reduce((left, right) => (right.median > left.median ? right : left));
      return { ...worst, text: withUnit(worst, target.split(" ").slice(2).join(" "), digits) };
    },
  };
}

/** @param target for example `≥ 1.6` or `< 5 ms` */
export function meets(value: number, target: string): boolean {
  const [relation, bound] = target.split(" ");
  switch (relation) {
    case "≥":
      return value >= Number(bound);
    case ">":
      return value > Number(bound);
    case "≤":
      return value <= Number(bound);
    case "<":
      return value < Number(bound);
    case "=":
      return value === Number(bound);
    default:
      throw new Error(`'${target}' is not a target`);
  }
}
