import type {
  ContentSource,
  ItemContents,
  ItemFile,
  Library,
  LibraryItem,
} from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import { isIdentifier } from "../domain/identifiers.ts";

/**
 * An argument that must be an identifier. An empty one counts as unset, because protobuf does not distinguish them.
 *
 * @param field name of the argument, for the error
 * @throws ServiceError `invalid_argument`
 */
export function identifier(value: string | undefined, field: string): string {
  if (value === undefined || value === "") throw new ServiceError("downlease.argument.missing", [field]);
  if (!isIdentifier(value)) throw new ServiceError("downlease.argument.identifier", [field]);
  return value;
}

/** @throws ServiceError `not_found` when there is no such library */
export async function lookUpLibrary(content: ContentSource, id: string): Promise<Library> {
  const library = await content.library(id);
  if (library === undefined) throw new ServiceError("downlease.library.not_found", [id]);
  return library;
}

/** @throws ServiceError `not_found` when there is no such item */
export async function lookUpItem(content: ContentSource, id: string): Promise<LibraryItem> {
  return requireItem(await content.item(id), id);
}

/** The result of a look-up by item id. @throws ServiceError `not_found` when it is undefined */
export function requireItem<T>(result: T | undefined, itemId: string): T {
  if (result === undefined) throw new ServiceError("downlease.item.not_found", [itemId]);
  return result;
}

/** @throws ServiceError `not_found` when the item has no such file */
export function requireFile({ files }: ItemContents, name: string, itemId: string): ItemFile {
  const file = files.find((candidate) => candidate.name === name);
  if (file === undefined) throw new ServiceError("downlease.file.not_found", [name, itemId]);
  return file;
}
