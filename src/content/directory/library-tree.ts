import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { ItemEntry, Library, LibraryItem } from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import { BrokenManifest, type ChecksumsByName, isManifest, mergeChecksums } from "../manifest.ts";
import { BrokenMetadata, type Metadata } from "../metadata.ts";
import { byName, derivedId, isContentName, isHidden, unusableName } from "../names.ts";
import { mapInParallel } from "../parallel.ts";
import { type StoredFile, timesOf } from "../stored-files.ts";
import { ignoredManifest, type LeaveOut, leaveOutWith, withUniqueIds } from "../warnings.ts";
import { isSystemError, unlessMissing } from "./file-system.ts";
import { listFiles, typeOfFiles } from "./item-files.ts";
import { Located, rootAt } from "./located.ts";
import { readManifest, readMetadata } from "./small-files.ts";

/** The folder of a library. */
export interface LibraryFolder extends Library {
  /** Path below the root, links not followed, for example `demo`. */
  readonly place: string;
  /** Real path. */
  readonly path: string;
}

/** The folder of an item, without its files. */
export interface ItemFolder extends Pick<LibraryItem, "id" | "name" | "description" | "type"> {
  readonly library: LibraryFolder;
  /** When its metadata file was modified, in milliseconds since the epoch; unset when there is none. */
  readonly declaredMs: number | undefined;
  /** Path below the root, links not followed, for example `demo/photon`. */
  readonly place: string;
  /** Real path. */
  readonly path: string;
}

/**
 * Reads the layout `<root>/<library>/<item>/<files…>` as it is now, and remembers nothing. A folder whose
 * metadata file is broken, or that this process may not look into (`lost+found` of a mounted disk), is left out
 * with a warning: it must not get another id, nor take the rest of the root down.
 */
export class LibraryTree {
  /** Real path. */
  readonly root: string;
  readonly #warn: (message: string) => void;
  readonly #leaveOut: LeaveOut;

  private constructor(root: string, warn: (message: string) => void) {
    this.root = root;
    this.#warn = warn;
    this.#leaveOut = leaveOutWith(warn);
  }

  /** Rejects when the root does not exist. */
  static async at(root: string, warn: (message: string) => void): Promise<LibraryTree> {
    return new LibraryTree(await rootAt(root), warn);
  }

  /** Names of the folders that may be libraries, sorted. */
  async libraryNames(): Promise<string[]> {
    const names = await this.#folderNames(this.root);
    if (names !== undefined) return names;
    throw new ServiceError("downlease.content.unavailable", [], new Error("the root was replaced"));
  }

  /** All libraries by name; of several with one id, the first. */
  async libraries(): Promise<LibraryFolder[]> {
    const folders = await mapInParallel(await this.libraryNames(), (name) => this.library(name));
    return this.withUniqueIds(folders.filter((folder) => folder !== undefined));
  }

  /** The library in the folder of this name. */
  library(name: string): Promise<LibraryFolder | undefined> {
    return this.#describe(name, ".library.json", async (folder, metadata) => {
      const { id = derivedId(name), description, modifiedMs } = metadata;
      // Items that come and go change the time of the folder; they are not changes of the library.
      const times = timesOf([modifiedMs ?? Number((await folder.stat()).mtimeMs)]);
      const declared = description !== undefined && { description };
      return { id, name, ...times, place: name, path: folder.path, ...declared };
    });
  }

  /** Names of the folders that may be items of a library, sorted. */
  async itemNames({ place, path }: LibraryFolder): Promise<string[]> {
    return (await this.#unlessUnreadable(place, this.#folderNames(path, place))) ?? [];
  }

  /** The item in the folder of this name. */
  item(library: LibraryFolder, name: string): Promise<ItemFolder | undefined> {
    const place = `${library.place}/${name}`;
    return this.#describe(place, ".item.json", async ({ path }, { modifiedMs: declaredMs, ...declared }) => {
      return { id: derivedId(place), ...declared, library, name, declaredMs, place, path };
    });
  }

  /** An item as lists show it; undefined when it is gone or may not be read. */
  async entry(item: ItemFolder): Promise<ItemEntry | undefined> {
    const { id, library, name, type } = item;
    const entry = { id, libraryId: library.id, name };
    if (type !== undefined) return { ...entry, type };
    const derived = await this.#unlessUnreadable(item.place, this.#typeOf(item));
    return derived && { ...entry, ...derived };
  }

  async #typeOf(item: ItemFolder): Promise<Pick<LibraryItem, "type"> | undefined> {
    using folder = await this.open(item);
    return folder && (await typeOfFiles(folder));
  }

  /** Opens an item's folder, to read its files; undefined when it is gone. */
  open({ path }: ItemFolder): Promise<Located | undefined> {
    return Located.folder(this.root, path);
  }

  /** The files of an item by name. */
  files({ place }: ItemFolder, folder: Located): Promise<StoredFile[]> {
    return listFiles(folder, (name, reason) => this.#leaveOut(`${place}/${name}`, reason));
  }

  /**
   * The checksums in the manifests among the files; where they contradict each other, those of the first by name. A
   * broken manifest is ignored with a warning.
   */
  async checksums(
    { place }: ItemFolder,
    folder: Located,
    files: readonly StoredFile[],
  ): Promise<ChecksumsByName> {
    const manifests: (ChecksumsByName | undefined)[] = [];
    for (const { name } of files.filter(isManifest)) {
      manifests.push(await this.#manifest(`${place}/${name}`, folder, name));
    }
    return mergeChecksums(manifests);
  }

  /** Leaves out all but the first of several with one id. */
  withUniqueIds<T extends { readonly id: string; readonly place: string }>(folders: readonly T[]): T[] {
    return withUniqueIds(folders, this.#leaveOut);
  }

  /** Reads a folder with what it declares; undefined when there is none inside of the root, or it is left out. */
  async #describe<T>(
    place: string,
    metadataName: string,
    read: (folder: Located, metadata: Metadata) => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await this.#unlessUnreadable(place, this.#readFolder(place, metadataName, read));
    } catch (reason) {
      if (!(reason instanceof BrokenMetadata)) throw reason;
      this.#leaveOut(place, `${metadataName} is broken (${reason.message})`);
      return undefined;
    }
  }

  async #readFolder<T>(
    place: string,
    metadataName: string,
    read: (folder: Located, metadata: Metadata) => Promise<T>,
  ): Promise<T | undefined> {
    const path = join(this.root, place);
    using folder = await Located.folder(this.root, path);
    if (folder !== undefined) return await read(folder, await readMetadata(folder, metadataName));
    if ((await lstat(path)).isSymbolicLink()) {
      this.#leaveOut(place, "it is a link that leads to no folder inside of the root");
    }
    return undefined;
  }

  async #folderNames(parent: string, place = ""): Promise<string[] | undefined> {
    using folder = await Located.folder(this.root, parent);
    if (folder === undefined) return undefined;
    const candidates = (await folder.entries()).filter(
      (entry) => !isHidden(entry.name) && (entry.isDirectory() || entry.isSymbolicLink()),
    );
    const folders = candidates.filter(({ name }) => {
      if (isContentName(name)) return true;
      this.#leaveOut(join(place, name), unusableName);
      return false;
    });
    return folders.sort(byName).map(({ name }) => name);
  }

  async #manifest(place: string, folder: Located, name: string): Promise<ChecksumsByName | undefined> {
    try {
      return await this.#unlessUnreadable(place, readManifest(folder, name));
    } catch (reason) {
      if (!(reason instanceof BrokenManifest)) throw reason;
      this.#warn(ignoredManifest(place, reason.message));
      return undefined;
    }
  }

  async #unlessUnreadable<T>(place: string, operation: Promise<T>): Promise<T | undefined> {
    try {
      return await unlessMissing(operation);
    } catch (reason) {
      if (!isSystemError(reason) || (reason.code !== "EACCES" && reason.code !== "EPERM")) throw reason;
      this.#leaveOut(place, `it may not be read (${reason.code})`);
      return undefined;
    }
  }
}
