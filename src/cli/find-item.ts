import { Code, ConnectError } from "@connectrpc/connect";
import type { ItemModel } from "../../gen/content/library/v1/item_pb.ts";
import type { LibraryModel } from "../../gen/content/v1/library_pb.ts";
import { CliError } from "./failure.ts";
import { ItemNames } from "./item-names.ts";
import type { Task } from "./run.ts";
import { visible } from "./text.ts";

type Server = Pick<Task, "server" | "call">;

export interface FoundItem {
  readonly id: string;
  readonly item: ItemModel;
}

/**
 * The item that is meant by an identifier, by `LIBRARY/ITEM` (names, or the identifier of the library), or by a name that only one
 * item has. The server takes no account of case in names; where several names differ in nothing else, the exact one is meant.
 *
 * @throws CliError `not_found`, or `usage` when several items are meant
 */
export async function findItem(task: Server, reference: string): Promise<FoundItem> {
  const { server, call } = task;
  const byId = await unlessNone(server.items.get({ libraryItemId: reference }, call));
  if (byId?.libraryItem) return { id: reference, item: byId.libraryItem };
  const slash = reference.indexOf("/");
  const found = [
    ...(slash < 0 ? [] : await inLibrary(task, reference.slice(0, slash), reference.slice(slash + 1))),
    ...(await named(task, { name: reference })),
  ];
  const name = slash < 0 ? reference : reference.slice(slash + 1);
  return await theOne(task, found, name, reference);
}

async function inLibrary(task: Server, library: string, name: string): Promise<FoundItem[]> {
  const libraries = await findLibraries(task, library);
  const items = await Promise.all(libraries.map(({ id: libraryId }) => named(task, { libraryId, name })));
  return items.flat();
}

async function named(
  { server, call }: Server,
  spec: { libraryId?: string; name: string },
): Promise<FoundItem[]> {
  if (spec.name === "") return [];
  const { libraryItemIds } = await server.items.find({ spec }, call);
  const items = await Promise.all(
    libraryItemIds.map(async (id) => ({
      id,
      answer: await unlessNone(server.items.get({ libraryItemId: id }, call)),
    })),
  );
  return items.flatMap(({ id, answer }) => (answer?.libraryItem ? [{ id, item: answer.libraryItem }] : []));
}

async function theOne(
  task: Server,
  found: readonly FoundItem[],
  name: string,
  reference: string,
): Promise<FoundItem> {
  const exact = found.filter(({ item }) => item.name === name);
  const meant = exact.length > 0 ? exact : found;
  if (meant.length === 1) return meant[0]!;
  if (meant.length === 0) {
    throw new CliError("not_found", `there is no item '${visible(reference)}'. See downlease items.`);
  }
  const names = new ItemNames(task);
  const candidates = await Promise.all(
    meant.map(async ({ id }) => `  ${visible(id)}  ${visible(await names.of(id))}`),
  );
  throw new CliError(
    "usage",
    [
      `'${visible(reference)}' is the name of ${meant.length} items. Name one by its id or as LIBRARY/ITEM:`,
      ...candidates,
    ].join("\n"),
  );
}

export interface FoundLibrary {
  readonly id: string;
  readonly library: LibraryModel;
}

/** By identifier or name; names that differ in case only if none is exact. */
export async function findLibraries({ server, call }: Server, reference: string): Promise<FoundLibrary[]> {
  const byId = await unlessNone(server.libraries.get({ libraryId: reference }, call));
  if (byId?.library) return [{ id: reference, library: byId.library }];
  if (reference === "") return [];
  const { libraryIds } = await server.libraries.find({ spec: { name: reference } }, call);
  const answers = await Promise.all(
    libraryIds.map(async (id) => ({
      id,
      answer: await unlessNone(server.libraries.get({ libraryId: id }, call)),
    })),
  );
  const found = answers.flatMap(({ id, answer }) =>
    answer?.library ? [{ id, library: answer.library }] : [],
  );
  const exact = found.filter(({ library }) => library.name === reference);
  return exact.length > 0 ? exact : found;
}

/** Undefined when the server knows nothing of that identifier, or takes it for none. */
async function unlessNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ConnectError && [Code.NotFound, Code.InvalidArgument].includes(error.code))
      return undefined;
    throw error;
  }
}
