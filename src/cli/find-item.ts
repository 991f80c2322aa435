import { callForEach } from "../client/call-for-each.ts";
import { type FoundItem, findItems } from "../client/find-item.ts";
import { visible } from "../client/printable.ts";
import { CliError } from "./failure.ts";
import { ItemNames } from "./item-names.ts";
import type { Task } from "./run.ts";

/** Lines of a message about a name that several items have. */
const maxShownMatches = 20;

/**
 * Finds an item by its identifier, by `LIBRARY/ITEM` (names, or the identifier of the library), or by a name that is unique.
 *
 * @throws CliError `not_found`, or `usage` if the reference is ambiguous
 */
export async function findItem(task: Pick<Task, "server" | "call">, reference: string): Promise<FoundItem> {
  const matches = await findItems(task, { item: reference });
  if (matches.length === 1) return matches[0]!;
  if (matches.length === 0) {
    throw new CliError("not_found", `there is no item '${visible(reference)}'. See downlease items.`);
  }
  const names = new ItemNames(task);
  const ids = matches.slice(0, maxShownMatches).map(({ id }) => id);
  const lines = await callForEach(ids, async (id) => `  ${visible(id)}  ${visible(await names.of(id))}`);
  throw new CliError(
    "usage",
    [
      `'${visible(reference)}' is the name of ${matches.length} items. Use the id or LIBRARY/ITEM:`,
      ...lines,
      ...(matches.length > ids.length ? [`  … ${matches.length - ids.length} more`] : []),
    ].join("\n"),
  );
}
