import { downloadItem } from "../../client/index.ts";
import { CliError, resumeHint } from "../failure.ts";
import type { CommonFlags, Task } from "../run.ts";
import { GetBars } from "./bars.ts";
import { GetEvents } from "./events.ts";
import { GetLines } from "./lines.ts";
import { lookUp } from "./look-up.ts";
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
  const patienceMs = flags.patience * 1_000;
  try {
    const onWait = (text: string) => reporter.waiting(text);
    const { itemId, name } = await lookUp(task, reference, { patienceMs, onWait });
    reporter.begin({ itemId, name, directory: flags.output });
    const result = await downloadItem(server, {
      itemId,
      ...(files.length > 0 && { files }),
      directory: flags.output,
      parallel: flags.parallel,
      patienceMs,
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
  return output.isErrorDrawable ? new GetBars(output, io.stderr, flags.parallel) : new GetLines(output);
}
