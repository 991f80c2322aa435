import type { ContentSource, LibraryItem } from "../domain/content-source.ts";
import { ServiceError } from "../domain/errors.ts";
import { isIdentifier } from "../domain/identifiers.ts";

/**
 * An argument that has to be an identifier; the empty one counts as unset, for protobuf can't tell them apart.
 *
 * @param field its name, for the caller
 * @throws ServiceError `invalid_argument`
 */
export function identifier(value: string | undefined, field: string): string {
  if (value === undefined || value === "") throw new ServiceError("downlease.argument.missing", [field]);
  if (!isIdentifier(value)) throw new ServiceError("downlease.argument.identifier", [field]);
  return value;
}

/** @throws ServiceError `not_found` */
export async function existingItem(content: ContentSource, id: string): Promise<LibraryItem> {
  return found(await content.item(id), id);
}

/**
 * What was looked up by the id of an item.
 *
 * @throws ServiceError `not_found` when it is undefined
 */
export function found<T>(ofItem: T | undefined, itemId: string): T {
  if (ofItem === undefined) throw new ServiceError("downlease.item.not_found", [itemId]);
  return ofItem;
}
