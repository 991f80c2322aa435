import {
  DownloadError,
  type DownloadResult,
  downloadToStream,
  type StreamedFile,
} from "../../client/index.ts";
import { visible } from "../../client/printable.ts";
import { isDumbTerminal } from "../../config/client-settings.ts";
import { CliError, explain, resumeHint } from "../failure.ts";
import { Output } from "../output.ts";
import { systemError } from "../system-error.ts";
import { type GetTask, limitsOf, lookUpItem, reporterFor, reporting } from "./get-task.ts";

/** Downloads one file to the standard output. Everything else that is printed goes to the standard error. */
export async function getToStdout(task: GetTask): Promise<void> {
  const { io, server, output } = task;
  if (output.isJson) throw new CliError("usage", "--json and --output - both write to the standard output");
  if (task.operands[0]!.endsWith("/*")) {
    throw new CliError("usage", "--output - writes one file, not all items of a library");
  }
  if (io.stdout.isTTY) {
    throw new CliError(
      "usage",
      "the standard output is a terminal: write to a pipe or a file, or name a directory",
    );
  }
  const startedAt = performance.now();
  const messages = new Output({ isDumb: isDumbTerminal(io.environment), out: io.stderr, err: io.stderr });
  const reporter = reporterFor({ ...task, output: messages });
  try {
    const result = await reporting(task, reporter, async () => {
      const { itemId, name } = await lookUpItem(task, reporter);
      const file = await fileOf(task, itemId);
      reporter.begin({ itemId, name, directory: "-" });
      const streamed = await downloadToStream(server, {
        itemId,
        file,
        output: io.stdout,
        ...limitsOf(task),
        onProgress: (progress) => reporter.progress(progress),
      });
      return resultOf(streamed);
    });
    reporter.done(result, performance.now() - startedAt);
    reporter.finish(result, performance.now() - startedAt);
  } catch (error) {
    // Only the output is written to; unless its reader has gone, the end of the program reports what is wrong with it.
    if (error instanceof DownloadError && error.reason === "disk") {
      throw new CliError(systemError(error)?.code === "EPIPE" ? "broken_pipe" : "disk", "");
    }
    const failure = explain(error, server.url);
    if (failure === undefined) throw error;
    // What has been written can't be resumed.
    throw new CliError(failure.exit, failure.message.replace(` ${resumeHint}`, ""));
  }
}

/** The file on the command line, or the only one of the item. @throws CliError if that is not one */
async function fileOf({ operands, server, call }: GetTask, itemId: string): Promise<string> {
  const [reference, ...names] = operands as [string, ...string[]];
  if (names.length === 1) return names[0]!;
  const { files } =
    names.length > 1 ? { files: [] } : await server.itemFiles.list({ libraryItemId: itemId }, call);
  if (files.length === 1) return files[0]!.name;
  const shown =
    files.length === 0
      ? ""
      : `: ${visible(
          files
            .map(({ name }) => name)
            .join(", ")
            .slice(0, 500),
        )}`;
  throw new CliError("usage", `--output - writes one file: name one of ${visible(reference)}${shown}`);
}

function resultOf({
  itemId,
  contentVersion,
  name,
  size,
  sha256,
  bytesFetched,
}: StreamedFile): DownloadResult {
  const file = { name, path: "-", size, sha256, outcome: "downloaded" } as const;
  return { itemId, contentVersion, files: [file], bytesTotal: size, bytesFetched };
}
