import { relative } from "node:path";
import { type DownloadProgress, type DownloadResult, downloadItem } from "../../client/index.ts";
import { outliveBrokenPipe } from "../broken-pipe.ts";
import { CliError } from "../failure.ts";
import { findItem } from "../find-item.ts";
import { ItemNames } from "../item-names.ts";
import type { CommonFlags, Task } from "../run.ts";
import { bytes, duration, visible } from "../text.ts";
import { GetBars } from "./bars.ts";
import { GetEvents } from "./events.ts";
import { GetLines } from "./lines.ts";

export interface GetFlags extends CommonFlags {
  readonly output: string;
  readonly parallel: number;
  /** Seconds. */
  readonly patience: number;
  /** Seconds. */
  readonly idle: number;
  readonly quiet?: boolean;
}

/** What is downloaded. */
export interface Subject {
  readonly itemId: string;
  /** `library/item` */
  readonly name: string;
  readonly directory: string;
}

/** Shows how a download goes. */
export interface Reporter {
  begin(subject: Subject): void;
  progress(progress: DownloadProgress): void;
  done(result: DownloadResult, elapsedMs: number): void;
  failed(error: unknown): void;
}

export async function get(task: Task<GetFlags>): Promise<void> {
  const { server, flags, call } = task;
  const [reference, ...files] = task.operands as [string, ...string[]];
  // Whoever reads what is told may stop reading; the download goes on.
  outliveBrokenPipe();
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
    const failure = call.signal.aborted ? interrupted(call.signal.reason) : error;
    reporter.failed(failure);
    throw failure;
  }
}

function interrupted({ exit }: CliError): CliError {
  return new CliError(exit, "interrupted. The same command goes on from what is there.");
}

function reporterFor({ output, flags, server }: Task<GetFlags>): Reporter {
  if (output.isJson) return new GetEvents(output, server.url);
  if (flags.quiet) return { begin() {}, progress() {}, done() {}, failed() {} };
  return process.stderr.isTTY ? new GetBars(output, process.stderr, flags.parallel) : new GetLines(output);
}

/** Whether a file is being downloaded: before, a rate tells nothing of how long the rest will take. */
export function isDownloading({ files }: DownloadProgress): boolean {
  return files.some(({ state }) => state === "downloading");
}

/** The sentence at the end of a download. */
export function summary({ files, bytesTotal, bytesFetched }: DownloadResult, elapsedMs: number): string {
  const count = files.length === 1 ? "1 file" : `${files.length} files`;
  const whole = `${count} of ${bytes(bytesTotal)}, checksums verified`;
  if (bytesFetched === 0) return `${whole}; nothing had to be fetched`;
  const rate = bytes((bytesFetched * 1000) / Math.max(1, elapsedMs));
  return `${whole}; ${bytes(bytesFetched)} fetched in ${duration(elapsedMs)}, ${rate}/s`;
}

/** A line for each file, as `sha256sum --check` reads them. */
export function checksumLines({ files }: DownloadResult): string[] {
  return files.map(({ sha256, path }) => `${sha256}  ${visible(relative("", path))}`);
}
