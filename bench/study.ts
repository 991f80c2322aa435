import type { Requirement } from "../test/support/executables.ts";
import type { RedisServer } from "../test/support/redis-server.ts";
import type { Results } from "./results.ts";

/** A measurement that `--only` can select. */
export interface Study {
  /** For `--only`. */
  readonly name: string;
  /** Names of the tables that it returns. */
  readonly tables: readonly string[];
  /** Programs that it needs besides Redis. */
  readonly needs?: readonly Requirement[];
  run(bench: Bench): Promise<readonly Table[]>;
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
  readonly results: Results;
  /** Prints a line about the progress of the run. */
  log(text: string): void;
}

export interface BenchOptions {
  readonly rounds: number;
  /** Length of one measurement. */
  readonly seconds: number;
  readonly callers: number;
  readonly warmUpSeconds: number;
  /** Numbers of sessions for the study of sessions. */
  readonly sessionCounts: readonly number[];
  /** Size of the file that is downloaded. */
  readonly downloadBytes: number;
  readonly idle: IdleOptions;
}

/** Of the study of idle sessions. */
export interface IdleOptions {
  readonly sessions: number;
  /** Pause before the measurement: V8 collects the garbage of creating sessions some seconds after the last one. */
  readonly settleSeconds: number;
  /** Length of the measurement. */
  readonly seconds: number;
}
