import { join } from "node:path";
import { callForEach } from "../../client/call-for-each.ts";
import { nameProblem } from "../../client/file-names.ts";
import { findLibraries } from "../../client/find-item.ts";
import type { DownloadResult } from "../../client/index.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliError, explain } from "../failure.ts";
import { download, type GetTask, patienceOf, reporterFor, reporting } from "./get-task.ts";
import { type NamedItem, withPatience } from "./look-up.ts";
import type { Reporter } from "./reporter.ts";

/** An item and its directory below that of the library. */
interface LibraryItem extends NamedItem {
  readonly folder: string;
}

/**
 * Downloads all items of a library, one after the other, each into a directory of its own. An item that fails does not
 * keep the others from it, unless they would fail in the same way.
 */
export async function getLibrary(task: GetTask): Promise<void> {
  const { flags, operands, output, server, call } = task;
  if (operands.length > 1) {
    throw new CliError("usage", "files can be named for one item only, not for all items of a library");
  }
  const startedAt = performance.now();
  let reporter = reporterFor(task);
  const items = await reporting(task, reporter, () =>
    withPatience(task, patienceOf(task, reporter), (each) => findItems(each, operands[0]!.slice(0, -2))),
  );
  const results: DownloadResult[] = [];
  const failures: CliError[] = [];
  for (const item of items) {
    reporter = reporterFor(task);
    try {
      const directory = join(flags.output, item.folder);
      results.push(
        await reporting(task, reporter, () => download(task, reporter, { item, directory, files: [] })),
      );
    } catch (error) {
      const failure = explain(error, server.url);
      if (failure === undefined || call.signal.aborted || !ofOneItem.includes(failure.exit)) throw error;
      output.note(`${visible(item.name)}: ${failure.message}`);
      failures.push(failure);
    }
  }
  finish(reporter, results, items.length, performance.now() - startedAt);
  if (failures.length > 0) {
    throw new CliError(
      failures[0]!.exit,
      `${failures.length} of ${items.length} items could not be downloaded`,
    );
  }
}

/** Failures that say nothing about other items. */
const ofOneItem: readonly ExitName[] = ["corrupt", "not_found", "refused", "lease_lost", "busy"];

function finish(reporter: Reporter, results: readonly DownloadResult[], of: number, elapsedMs: number): void {
  const sum = (count: (result: DownloadResult) => number) =>
    results.reduce((total, each) => total + count(each), 0);
  const total = {
    library: { done: results.length, of },
    files: results.flatMap(({ files }) => files),
    bytesTotal: sum(({ bytesTotal }) => bytesTotal),
    bytesFetched: sum(({ bytesFetched }) => bytesFetched),
  };
  reporter.finish(total, elapsedMs);
}

/** @throws CliError also if a name can't be that of a directory, or two would be one directory */
async function findItems(
  { server, call }: Pick<GetTask, "server" | "call">,
  reference: string,
): Promise<LibraryItem[]> {
  const [library, ...others] = await findLibraries({ server, call }, reference);
  if (library === undefined) {
    throw new CliError("not_found", `there is no library '${visible(reference)}'. See downlease items.`);
  }
  if (others.length > 0) {
    throw new CliError(
      "usage",
      `'${visible(reference)}' is the name of ${others.length + 1} libraries. Use the id.`,
    );
  }
  const { libraryItemIds } = await server.items.list({ libraryId: library.id }, call);
  const items = await callForEach(libraryItemIds, async (itemId) => {
    const { libraryItem } = await server.items.get({ libraryItemId: itemId }, call);
    const folder = required(libraryItem, "library_item").name ?? "";
    return { itemId, folder, name: `${library.library.name ?? library.id}/${folder}` };
  });
  const folders = new Map<string, string>();
  for (const { folder } of items) {
    const problem = nameProblem(folder);
    if (problem !== undefined) refuse(folder, problem);
    // Downloads into one directory would replace each other's files.
    const key = folder.normalize("NFC").toLowerCase();
    if (folders.has(key))
      refuse(folder, `is the name of another item ('${visible(folders.get(key)!)}') in some file systems`);
    folders.set(key, folder);
  }
  return items.sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

function refuse(name: string, problem: string): never {
  const text = `'${visible(name.slice(0, 256))}' can't be the name of a directory: it ${problem}. Download the items of this library one by one.`;
  throw new CliError("refused", text);
}
