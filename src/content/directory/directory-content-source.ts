import { stat } from "node:fs/promises";
import { relative, sep } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type {
  ContentFile,
  ContentSource,
  ItemContents,
  ItemEntry,
  Library,
  LibraryItem,
} from "../../domain/content-source.ts";
import { find } from "../catalog.ts";
import { rootId } from "../names.ts";
import { itemFilesOf, itemSummaryOf, libraryItemOf } from "../stored-files.ts";
import { warnOnce } from "../warnings.ts";
import { DirectoryFile } from "./directory-file.ts";
import { DirectoryIndex, type ItemPlace } from "./directory-index.ts";
import { isUnsettled, orUnavailable, tickMs } from "./file-system.ts";
import { type ItemFolder, type LibraryFolder, LibraryTree } from "./library-tree.ts";

export interface DirectoryContentOptions {
  /** The directory of libraries. If it is a link, the link is followed again for each call. */
  readonly root: string;
  /** Called once for each thing below the root that can't be content, with the reason. */
  readonly warn?: (message: string) => void;
}

/**
 * Libraries in a directory: `<root>/<library>/<item>/<files…>`. Only the regular files directly in an item's
 * folder are its files, folders in it are ignored, and names that start with a dot are not content. Links are
 * followed as long as they stay inside of the root: see `Located`.
 *
 * `.library.json` and `.item.json` may declare `id` and `description`, the latter also `type`. Without an id it
 * is the name-based UUID of `library` or `library/item`. Of several items, or libraries, with one id only the
 * first by name exists.
 *
 * A manifest of an OVF package (`*.mf`) holds the checksums of the files next to it.
 *
 * The content version is a digest of the files' names, sizes and modification times in milliseconds. An item was made
 * at the earliest and last changed at the latest modification time among its folder, `.item.json` and its files. A
 * library was made and last changed when `.library.json` was modified; without that file, when its folder was, which
 * is whenever an item comes or goes.
 */
export class DirectoryContentSource implements ContentSource {
  readonly id = rootId;
  readonly location: string;
  readonly #openTree: () => Promise<LibraryTree>;
  readonly #index: DirectoryIndex;

  constructor({ root, warn = () => {} }: DirectoryContentOptions) {
    const warnOfNew = warnOnce(warn);
    this.location = pathToFileURL(root).href.replace(/\/$/, "");
    this.#openTree = () => LibraryTree.at(root, warnOfNew);
    this.#index = new DirectoryIndex(this.#openTree);
  }

  /**
   * Makes a source that has read its root once, so that problems show at the start. Rejects with an Error that names
   * the root when it is missing, not a directory, or can't be read.
   */
  static async open(options: DirectoryContentOptions): Promise<DirectoryContentSource> {
    const source = new DirectoryContentSource(options);
    try {
      const stats = await stat(options.root);
      if (!stats.isDirectory()) throw new Error("it is not a directory");
      await source.#index.rescan();
    } catch (reason) {
      const detail = reason instanceof Error ? reason.message : String(reason);
      throw new Error(`content root ${options.root} can't be used: ${detail}`, { cause: reason });
    }
    return source;
  }

  libraries(): Promise<Library[]> {
    return orUnavailable(async () => (await (await this.#openTree()).libraries()).map(libraryOf));
  }

  library(libraryId: string): Promise<Library | undefined> {
    return orUnavailable(async () => {
      const tree = await this.#openTree();
      const folder = await find(
        () => libraryAt(tree, this.#index.library(libraryId), libraryId),
        this.#index.refresh,
      );
      return folder && libraryOf(folder);
    });
  }

  items(libraryId?: string): Promise<readonly ItemEntry[] | undefined> {
    return orUnavailable(async () => {
      await this.#index.refresh();
      return this.#index.entries(libraryId);
    });
  }

  item(itemId: string): Promise<LibraryItem | undefined> {
    return orUnavailable(async () => {
      const tree = await this.#openTree();
      const folder = await this.#findItem(tree, itemId);
      return folder && itemOf(tree, folder);
    });
  }

  contents(itemId: string): Promise<ItemContents | undefined> {
    return orUnavailable(async () => {
      const tree = await this.#openTree();
      const folder = await this.#findItem(tree, itemId);
      using opened = folder && (await tree.open(folder));
      if (opened === undefined) return undefined;
      const files = await tree.files(folder!, opened);
      const { contentVersion } = itemSummaryOf(files);
      const checksums = await tree.checksums(folder!, opened, files);
      return { place: folder!.place, contentVersion, files: itemFilesOf(files, checksums) };
    });
  }

  openFile(itemId: string, fileName: string, contentVersion: string): Promise<ContentFile | undefined> {
    return orUnavailable(async () => {
      const tree = await this.#openTree();
      const folder = await this.#findItem(tree, itemId);
      using opened = folder && (await tree.open(folder));
      if (opened === undefined) return undefined;
      const files = await tree.files(folder!, opened);
      const listed = files.find(({ name }) => name === fileName);
      if (listed === undefined || itemSummaryOf(files).contentVersion !== contentVersion) return undefined;
      const file = await opened.openEntry(fileName);
      if (file === undefined) return undefined;
      if (file.size === listed.size && file.modifiedMs === listed.modifiedMs) {
        // A change from now on is then sure to show in the modification time.
        if (isUnsettled(file.modifiedMs)) await delay(tickMs);
        return new DirectoryFile(file, listed.version, relative(tree.root, file.path).replaceAll(sep, "/"));
      }
      await file.handle.close();
      return undefined;
    });
  }

  #findItem(tree: LibraryTree, itemId: string): Promise<ItemFolder | undefined> {
    return find(() => itemAt(tree, this.#index.item(itemId), itemId), this.#index.refresh);
  }
}

/** The library's folder; undefined when the folder of this name is another library now. */
async function libraryAt(
  tree: LibraryTree,
  name: string | undefined,
  libraryId: string,
): Promise<LibraryFolder | undefined> {
  const folder = name === undefined ? undefined : await tree.library(name);
  return folder?.id === libraryId ? folder : undefined;
}

/** The item's folder; undefined when it is no longer in this place. */
async function itemAt(
  tree: LibraryTree,
  place: ItemPlace | undefined,
  itemId: string,
): Promise<ItemFolder | undefined> {
  const library = place && (await tree.library(place.library));
  const folder = library && (await tree.item(library, place.item));
  return folder?.id === itemId ? folder : undefined;
}

function libraryOf({ place, path, ...library }: LibraryFolder): Library {
  return library;
}

async function itemOf(tree: LibraryTree, folder: ItemFolder): Promise<LibraryItem | undefined> {
  using opened = await tree.open(folder);
  if (opened === undefined) return undefined;
  const files = await tree.files(folder, opened);
  const modifiedMs = [Number((await opened.stat()).mtimeMs), ...files.map((file) => file.modifiedMs)];
  if (folder.declaredMs !== undefined) modifiedMs.push(folder.declaredMs);
  return libraryItemOf(folder, files, modifiedMs);
}
