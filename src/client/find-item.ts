import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import type { ItemModel } from "../../gen/content/library/v1/item_pb.ts";
import type { LibraryModel } from "../../gen/content/v1/library_pb.ts";
import { callForEach } from "./call-for-each.ts";
import { DownloadError } from "./download-error.ts";
import type { ServiceClients } from "./services.ts";

/** An item by its name or identifier. */
export interface ItemName {
  /** Without `library` it may also be `LIBRARY/ITEM`. */
  readonly item: string;
  /** Name or identifier of the library. */
  readonly library?: string;
}

export interface FoundItem {
  readonly id: string;
  readonly item: ItemModel;
}

export interface FoundLibrary {
  readonly id: string;
  readonly library: LibraryModel;
}

/** The clients that look-ups call, and the options of each call. */
export interface LookUpCalls {
  readonly server: Pick<ServiceClients, "items" | "libraries">;
  readonly call: CallOptions;
}

/** Identifiers in the message about a name that several items have. */
const maxShownIds = 10;

/**
 * Finds an item by its identifier or its name. The server ignores case in names; among names that differ in case only,
 * the exact one wins.
 *
 * @throws DownloadError `not_found`, or `ambiguous` if several items have the name
 * @throws ConnectError if a call fails
 */
export async function findItem(
  server: Pick<ServiceClients, "items" | "libraries">,
  name: ItemName,
  call: CallOptions = {},
): Promise<FoundItem> {
  return selectItem(await findItems({ server, call }, name), name);
}

/** The only match. @throws DownloadError `not_found` or `ambiguous` */
export function selectItem(matches: readonly FoundItem[], name: ItemName): FoundItem {
  if (matches.length === 1) return matches[0]!;
  const shown = name.library === undefined ? name.item : `${name.library}/${name.item}`;
  if (matches.length === 0) throw new DownloadError("not_found", `There is no item '${shown}'`);
  const ids = matches.slice(0, maxShownIds).map(({ id }) => id);
  const more = matches.length > ids.length ? ", …" : "";
  throw new DownloadError(
    "ambiguous",
    `'${shown}' is the name of ${matches.length} items. Use an id: ${ids.join(", ")}${more}`,
  );
}

/** All items that a name may mean; one for an identifier. */
export async function findItems(calls: LookUpCalls, { item: name, library }: ItemName): Promise<FoundItem[]> {
  const { server, call } = calls;
  const byId = await unlessNotFound(server.items.get({ libraryItemId: name }, call));
  if (library !== undefined) {
    const libraries = await findLibraries(calls, library);
    const item = byId?.libraryItem;
    if (item !== undefined && libraries.some(({ id }) => id === item.libraryId)) return [{ id: name, item }];
    return exactly(name, await findInLibraries(calls, libraries, name));
  }
  if (byId?.libraryItem) return [{ id: name, item: byId.libraryItem }];
  const slash = name.indexOf("/");
  const candidates = await findByName(calls, { name });
  if (slash < 0) return exactly(name, candidates);
  const libraries = await findLibraries(calls, name.slice(0, slash));
  const nameInLibrary = name.slice(slash + 1);
  const qualified = await findInLibraries(calls, libraries, nameInLibrary);
  return exactly(nameInLibrary, [...qualified, ...candidates]);
}

function exactly(name: string, items: readonly FoundItem[]): FoundItem[] {
  const exact = items.filter(({ item }) => item.name === name);
  return exact.length > 0 ? exact : [...items];
}

async function findInLibraries(
  calls: LookUpCalls,
  libraries: readonly FoundLibrary[],
  name: string,
): Promise<FoundItem[]> {
  const items = await callForEach(libraries, ({ id: libraryId }) => findByName(calls, { libraryId, name }));
  return items.flat();
}

async function findByName(
  { server, call }: LookUpCalls,
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

/** Finds libraries by identifier or name. Names that differ in case count only if there is no exact match. */
export async function findLibraries(
  { server, call }: LookUpCalls,
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
