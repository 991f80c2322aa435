import type { RedisServer } from "../test/support/redis-server.ts";
import type { Figures } from "./figures.ts";
import type { Goal } from "./goals.ts";
import type { Need } from "./needs.ts";
import type { BarGroup } from "./plot.ts";

/** A measurement that `--only` can select. It owns its tables, its goals and its figures. */
export interface Study {
  /** For `--only`. */
  readonly name: string;
  /** One line for `--help`. */
  readonly description: string;
  /** How long it may take in a whole run, about. */
  readonly budgetSeconds: number;
  /** Whether it runs with `--only` alone; its tables are then only printed. */
  readonly isExtra?: boolean;
  /** Names of the tables that it returns. */
  readonly tables: readonly string[];
  readonly goals: readonly Goal[];
  /** Without them the study is skipped by name. */
  readonly needs?: readonly Need[];
  /** @throws NeedMissing */
  run(bench: Bench): Promise<StudyResult>;
}

export interface StudyResult {
  readonly tables: readonly Table[];
  readonly figures: Figures;
  /** For the chart of the page. */
  readonly bars?: BarGroup;
}

export interface Table {
  /** As in the marks of docs/performance.md. */
  readonly name: string;
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What the studies of a run share. */
export interface Bench {
  readonly options: BenchOptions;
  readonly redis: RedisServer;
  /** Sessions that stay alive for the whole run. */
  readonly sessionIds: readonly string[];
  /** For files of the run. */
  readonly directory: string;
  /** Prints a line about the progress of the run. */
  log(text: string): void;
}

export interface BenchOptions {
  /** Few and short: only to see whether the benchmark works. */
  readonly isQuick: boolean;
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly callers: number;
  readonly warmUpSeconds: number;
}
