import { lstat, readdir, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ItemEntry, Library, LibraryItem } from "../../domain/content-source.ts";
import { BrokenManifest, type ChecksumsByName, isManifest, mergeChecksums } from "../manifest.ts";
import { BrokenMetadata, type Metadata } from "../metadata.ts";
import { byName, derivedId, isContentName, isHidden, unusableName } from "../names.ts";
import { mapInParallel } from "../parallel.ts";
import { type StoredFile, timesOf } from "../stored-files.ts";
import { ignoredManifest, type LeaveOut, leaveOutWith, withUniqueIds } from "../warnings.ts";
import { isSystemError, realPathWithin, unlessMissing } from "./file-system.ts";
import { listFiles, typeOfFiles } from "./item-files.ts";
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
  /** When the folder itself, and its metadata file if there is one, were modified, in milliseconds. */
  readonly modifiedMs: readonly number[];
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
    return new LibraryTree(await realpath(root), warn);
  }

  /** Names of the folders that may be libraries, sorted. */
  async libraryNames(): Promise<string[]> {
    return this.#folderNames(this.root);
  }

  /** All libraries by name; of several with one id, the first. */
  async libraries(): Promise<LibraryFolder[]> {
    const folders = await mapInParallel(await this.libraryNames(), (name) => this.library(name));
    return this.withUniqueIds(folders.filter((folder) => folder !== undefined));
  }

  /** The library in the folder of this name. */
  async library(name: string): Promise<LibraryFolder | undefined> {
    const folder = await this.#folder(name);
    const metadata = folder && (await this.#metadata(name, join(folder.path, ".library.json")));
    if (!metadata) return undefined;
    // Items that come and go change the time of the folder; they are not changes of the library.
    const { id = derivedId(name), description, modifiedMs = folder.modifiedMs } = metadata;
    const declared = description !== undefined && { description };
    return { id, name, ...timesOf([modifiedMs]), place: name, path: folder.path, ...declared };
  }

  /** Names of the folders that may be items of a library, sorted. */
  async itemNames({ place, path }: LibraryFolder): Promise<string[]> {
    return (await this.#unlessUnreadable(place, this.#folderNames(path, place))) ?? [];
  }

  /** The item in the folder of this name. */
  async item(library: LibraryFolder, name: string): Promise<ItemFolder | undefined> {
    const place = `${library.place}/${name}`;
    const folder = await this.#folder(place);
    const metadata = folder && (await this.#metadata(place, join(folder.path, ".item.json")));
    if (!metadata) return undefined;
    const { modifiedMs, ...declared } = metadata;
    const times = modifiedMs === undefined ? [folder.modifiedMs] : [folder.modifiedMs, modifiedMs];
    const id = derivedId(place);
    return { id, ...declared, library, name, modifiedMs: times, place, path: folder.path };
  }

  /** An item as lists show it; undefined when it is gone or may not be read. */
  async entry({ id, library, name, type, place, path }: ItemFolder): Promise<ItemEntry | undefined> {
    const entry = { id, libraryId: library.id, name };
    if (type !== undefined) return { ...entry, type };
    const derived = await this.#unlessUnreadable(place, typeOfFiles(this.root, path));
    return derived && { ...entry, ...derived };
  }

  /** The files of an item by name; undefined when the item is gone. */
  files(item: ItemFolder): Promise<StoredFile[] | undefined> {
    return listFiles(this.root, item.path, (name, reason) => this.#leaveOut(`${item.place}/${name}`, reason));
  }

  /**
   * The checksums in the manifests among the files; where they contradict each other, those of the first by name. A
   * broken manifest is ignored with a warning.
   */
  async checksums(item: ItemFolder, files: readonly StoredFile[]): Promise<ChecksumsByName> {
    const manifests: (ChecksumsByName | undefined)[] = [];
    for (const { name } of files.filter(isManifest)) {
      manifests.push(await this.#manifest(`${item.place}/${name}`, join(item.path, name)));
    }
    return mergeChecksums(manifests);
  }

  /** Leaves out all but the first of several with one id. */
  withUniqueIds<T extends { readonly id: string; readonly place: string }>(folders: readonly T[]): T[] {
    return withUniqueIds(folders, this.#leaveOut);
  }

  /** Real path and modification time of a folder; undefined when there is none inside of the root. */
  #folder(place: string): Promise<{ path: string; modifiedMs: number } | undefined> {
    return this.#unlessUnreadable(place, this.#resolve(place));
  }

  async #resolve(place: string): Promise<{ path: string; modifiedMs: number } | undefined> {
    const unresolved = join(this.root, place);
    const path = await realPathWithin(this.root, unresolved);
    const stats = await lstat(path ?? unresolved);
    if (path !== undefined) {
      return stats.isDirectory() ? { path, modifiedMs: Math.floor(stats.mtimeMs) } : undefined;
    }
    if (stats.isSymbolicLink()) this.#leaveOut(place, "it is a link that leads nowhere inside of the root");
    return undefined;
  }

  async #folderNames(parent: string, place = ""): Promise<string[]> {
    const entries = await readdir(parent, { withFileTypes: true });
    const candidates = entries.filter(
      (entry) => !isHidden(entry.name) && (entry.isDirectory() || entry.isSymbolicLink()),
    );
    const folders = candidates.filter(({ name }) => {
      if (isContentName(name)) return true;
      this.#leaveOut(join(place, name), unusableName);
      return false;
    });
    return folders.sort(byName).map(({ name }) => name);
  }

  async #metadata(place: string, path: string): Promise<Metadata | undefined> {
    try {
      return await this.#unlessUnreadable(place, readMetadata(this.root, path));
    } catch (reason) {
      if (!(reason instanceof BrokenMetadata)) throw reason;
      this.#leaveOut(place, `${basename(path)} is broken (${reason.message})`);
      return undefined;
    }
  }

  async #manifest(place: string, path: string): Promise<ChecksumsByName | undefined> {
    try {
      return await this.#unlessUnreadable(place, readManifest(this.root, path));
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
