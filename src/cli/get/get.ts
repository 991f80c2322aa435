import { download, type GetTask, lookUpItem, reporterFor, reporting } from "./get-task.ts";

export async function get(task: GetTask): Promise<void> {
  const { flags, operands, io } = task;
  // The reader of the output may stop reading; the download goes on.
  io.endsOnBrokenPipe = false;
  if (flags.output === "-") return (await import("./get-to-stdout.ts")).getToStdout(task);
  if (operands[0]!.endsWith("/*")) return (await import("./get-library.ts")).getLibrary(task);
  const startedAt = performance.now();
  const reporter = reporterFor(task);
  const files = operands.slice(1);
  const result = await reporting(task, reporter, async () => {
    const item = await lookUpItem(task, reporter);
    return await download(task, reporter, { item, directory: flags.output, files });
  });
  reporter.finish(result, performance.now() - startedAt);
}
