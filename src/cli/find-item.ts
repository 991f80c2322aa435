import { Code, ConnectError } from "@connectrpc/connect";
import type { ItemModel } from "../../gen/content/library/v1/item_pb.ts";
import type { LibraryModel } from "../../gen/content/v1/library_pb.ts";
import { visible } from "../client/printable.ts";
import { callForEach } from "./answers.ts";
import { CliError } from "./failure.ts";
import { ItemNames } from "./item-names.ts";
import type { Task } from "./run.ts";

/** Lines of a message about a name that several items have. */
const maxShownMatches = 20;

type ServerCalls = Pick<Task, "server" | "call">;

export interface FoundItem {
  readonly id: string;
  readonly item: ItemModel;
}

/**
 * Finds an item by its identifier, by `LIBRARY/ITEM` (names, or the identifier of the library), or by a name that is unique. The server
 * ignores case in names; among names that differ in case only, the exact one wins.
 *
 * @throws CliError `not_found`, or `usage` if the reference is ambiguous
 */
export async function findItem(task: ServerCalls, reference: string): Promise<FoundItem> {
  const { server, call } = task;
  const byId = await unlessNotFound(server.items.get({ libraryItemId: reference }, call));
  if (byId?.libraryItem) return { id: reference, item: byId.libraryItem };
  const slash = reference.indexOf("/");
  const candidates = [
    ...(slash < 0 ? [] : await findInLibrary(task, reference.slice(0, slash), reference.slice(slash + 1))),
    ...(await findByName(task, { name: reference })),
  ];
  const name = slash < 0 ? reference : reference.slice(slash + 1);
  return await selectItem(task, candidates, name, reference);
}

async function findInLibrary(task: ServerCalls, library: string, name: string): Promise<FoundItem[]> {
  const libraries = await findLibraries(task, library);
  const items = await callForEach(libraries, ({ id: libraryId }) => findByName(task, { libraryId, name }));
  return items.flat();
}

async function findByName(
  { server, call }: ServerCalls,
  spec: { libraryId?: string; name: string },
): Promise<FoundItem[]> {
  if (spec.name === "") return [];
  const { libraryItemIds } = await server.items.find({ spec }, call);
  const items = await callForEach(libraryItemIds, async (id) => ({
    id,
    answer: await unlessNotFound(server.items.get({ libraryItemId: id }, call)),
  }));
  return items.flatMap(({ id, answer }) => (answer?.libraryItem ? [{ id, item: answer.libraryItem }] : []));
}

async function selectItem(
  task: ServerCalls,
  candidates: readonly FoundItem[],
  name: string,
  reference: string,
): Promise<FoundItem> {
  const exact = candidates.filter(({ item }) => item.name === name);
  const matches = exact.length > 0 ? exact : candidates;
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

export interface FoundLibrary {
  readonly id: string;
  readonly library: LibraryModel;
}

/** Finds libraries by identifier or name. Names that differ in case count only if there is no exact match. */
export async function findLibraries(
  { server, call }: ServerCalls,
  reference: string,
): Promise<FoundLibrary[]> {
  const byId = await unlessNotFound(server.libraries.get({ libraryId: reference }, call));
  if (byId?.library) return [{ id: reference, library: byId.library }];
  if (reference === "") return [];
  const { libraryIds } = await server.libraries.find({ spec: { name: reference } }, call);
  const answers = await callForEach(libraryIds, async (id) => ({
    id,
    answer: await unlessNotFound(server.libraries.get({ libraryId: id }, call)),
  }));
  const libraries = answers.flatMap(({ id, answer }) =>
    answer?.library ? [{ id, library: answer.library }] : [],
  );
  const exact = libraries.filter(({ library }) => library.name === reference);
  return exact.length > 0 ? exact : libraries;
}

/** Undefined if the server does not have the identifier, or refuses it as malformed. */
async function unlessNotFound<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ConnectError && [Code.NotFound, Code.InvalidArgument].includes(error.code))
      return undefined;
    throw error;
  }
}
