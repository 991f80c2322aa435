import { downloadItem } from "../../client/index.ts";
import { CliError, resumeHint } from "../failure.ts";
import { findItem } from "../find-item.ts";
import { ItemNames } from "../item-names.ts";
import type { CommonFlags, Task } from "../run.ts";
import { GetBars } from "./bars.ts";
import { GetEvents } from "./events.ts";
import { GetLines } from "./lines.ts";
import { type Reporter, silentReporter } from "./reporter.ts";

export interface GetFlags extends CommonFlags {
  readonly output: string;
  readonly parallel: number;
  /** Seconds. */
  readonly patience: number;
  /** Seconds. */
  readonly idle: number;
  readonly quiet?: boolean;
}

export async function get(task: Task<GetFlags>): Promise<void> {
  const { server, flags, call, io } = task;
  const [reference, ...files] = task.operands as [string, ...string[]];
  // The reader of the output may stop reading; the download goes on.
  io.endsOnBrokenPipe = false;
  const reporter = reporterFor(task);
  const startedAt = performance.now();
  try {
    const { id: itemId } = await findItem(task, reference);
    const name = await new ItemNames(task).of(itemId);
    reporter.begin({ itemId, name, directory: flags.output });
    const result = await downloadItem(server, {
      itemId,
      ...(files.length > 0 && { files }),
      directory: flags.output,
      parallel: flags.parallel,
      patienceMs: flags.patience * 1_000,
      idleMs: flags.idle * 1_000,
      signal: call.signal,
      onProgress: (progress) => reporter.progress(progress),
    });
    reporter.done(result, performance.now() - startedAt);
  } catch (error) {
    const failure = call.signal.aborted ? interruption(call.signal.reason) : error;
    reporter.failed(failure);
    throw failure;
  }
}

function interruption({ exit }: CliError): CliError {
  return new CliError(exit, `interrupted. ${resumeHint}`);
}

function reporterFor({ output, flags, server, io }: Task<GetFlags>): Reporter {
  if (output.isJson) return new GetEvents(output, server.url);
  if (flags.quiet) return silentReporter;
  return io.stderr.isTTY ? new GetBars(output, io.stderr, flags.parallel) : new GetLines(output);
}
