import { type DownloadResult, downloadItem } from "../../client/index.ts";
import { CliError, resumeHint } from "../failure.ts";
import type { CommonFlags, Task } from "../run.ts";
import { GetBars } from "./bars.ts";
import { GetEvents } from "./events.ts";
import { GetLines } from "./lines.ts";
import { lookUp, type NamedItem, type Patience } from "./look-up.ts";
import { type Reporter, silentReporter } from "./reporter.ts";

export interface GetFlags extends CommonFlags {
  readonly output: string;
  readonly parallel: number;
  /** Of a large file; by default chosen by what the line is like. */
  readonly connections?: number;
  /** Bytes a second. */
  readonly limitRate?: number;
  /** Seconds. */
  readonly patience: number;
  /** Seconds. */
  readonly idle: number;
  readonly quiet?: boolean;
}

export type GetTask = Task<GetFlags>;

/** Finds the item on the command line. */
export function lookUpItem(task: GetTask, reporter: Reporter): Promise<NamedItem> {
  return lookUp(task, task.operands[0]!, patienceOf(task, reporter));
}

export function patienceOf({ flags }: GetTask, reporter: Reporter): Patience {
  return { patienceMs: flags.patience * 1_000, onWait: (text) => reporter.waiting(text) };
}

interface Place {
  readonly item: NamedItem;
  readonly directory: string;
  /** All files if it is empty. */
  readonly files: readonly string[];
}

/** Downloads an item into a directory. */
export async function download(
  task: GetTask,
  reporter: Reporter,
  { item: { itemId, name }, directory, files }: Place,
): Promise<DownloadResult> {
  const { server, flags } = task;
  const startedAt = performance.now();
  reporter.begin({ itemId, name, directory });
  const result = await downloadItem(server, {
    itemId,
    ...(files.length > 0 && { files }),
    directory,
    parallel: flags.parallel,
    ...(flags.connections !== undefined && { connections: flags.connections }),
    ...limitsOf(task),
    onProgress: (progress) => reporter.progress(progress),
  });
  reporter.done(result, performance.now() - startedAt);
  return result;
}

/** Options of every download of a command. */
export function limitsOf({ flags, call }: GetTask) {
  const { patience, idle, limitRate } = flags;
  return {
    patienceMs: patience * 1_000,
    idleMs: idle * 1_000,
    ...(limitRate !== undefined && { maxBytesPerSecond: limitRate }),
    signal: call.signal,
  };
}

/** Reports how work fails, as an interruption if the user has ended it. */
export async function reporting<T>(
  { call }: GetTask,
  reporter: Reporter,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const failure = call.signal.aborted ? interruption(call.signal.reason) : error;
    reporter.failed(failure);
    throw failure;
  }
}

function interruption({ exit }: CliError): CliError {
  return new CliError(exit, `interrupted. ${resumeHint}`);
}

export function reporterFor({ output, flags, server, io }: GetTask): Reporter {
  if (output.isJson) return new GetEvents(output, server.url);
  if (flags.quiet) return silentReporter;
  return output.isErrorDrawable ? new GetBars(output, io.stderr, flags.parallel) : new GetLines(output);
}
