import type { ItemEntry } from "../domain/content-source.ts";

interface CatalogLibrary {
  readonly id: string;
}

interface CatalogItem {
  readonly id: string;
  readonly entry: ItemEntry;
}

/** The libraries and items that one scan of a source found, in the order of (library, item) names. */
export class Catalog<L extends CatalogLibrary, I extends CatalogItem> {
  readonly #libraries: ReadonlyMap<string, L>;
  readonly #items: ReadonlyMap<string, I>;
  /** By library id. */
  readonly #entriesOf: ReadonlyMap<string, readonly ItemEntry[]>;

  /**
   * @param libraries by name, with unique ids
   * @param items by library and name, with unique ids
   */
  constructor(libraries: readonly L[], items: readonly I[]) {
    this.#libraries = new Map(libraries.map((library) => [library.id, library]));
    this.#items = new Map(items.map((item) => [item.id, item]));
    const entriesOf = new Map(libraries.map(({ id }): [string, ItemEntry[]] => [id, []]));
    for (const { entry } of items) entriesOf.get(entry.libraryId)?.push(entry);
    this.#entriesOf = entriesOf;
  }

  libraries(): L[] {
    return [...this.#libraries.values()];
  }

  library(libraryId: string): L | undefined {
    return this.#libraries.get(libraryId);
  }

  item(itemId: string): I | undefined {
    return this.#items.get(itemId);
  }

  /** The items of a library, undefined when there is no such library, or all items. */
  entries(libraryId?: string): readonly ItemEntry[] | undefined {
    if (libraryId !== undefined) return this.#entriesOf.get(libraryId);
    return [...this.#items.values()].map(({ entry }) => entry);
  }
}

/**
 * Finds something whose place an index holds. Looks where the index points; if nothing is there, refreshes the index
 * and looks once more.
 */
export async function find<T>(
  look: () => Promise<T | undefined>,
  refresh: () => Promise<void>,
): Promise<T | undefined> {
  const first = await look();
  if (first !== undefined) return first;
  await refresh();
  return look();
}
