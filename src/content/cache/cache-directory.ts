import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { type FileHandle, lstat, mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BlockIndex, ForeignIndex } from "./block-index.ts";
import { addressOf, type BlockAddress, nameOf } from "./blocks.ts";
import { createEmpty, createOwn, hasCode, openOwn } from "./own-files.ts";
import { isAlive, Presence } from "./presence.ts";

/** Only the user of the service reads what is cached. */
const directoryMode = 0o700;

/** Below the cache directory, so that nothing that others keep there is taken for a part of the cache. */
export const ownFolderName = "downlease-blocks";
const indexName = "index.db";
const processesName = "processes";
const fillingName = "filling";
const blocksName = "blocks";

/** Files of processes that have no other trace are left alone for so long, since such a process may be about to start. */
const strayMs = 60_000;

/** The file of a block. */
export interface OpenBlock {
  readonly handle: FileHandle;
  readonly bytes: number;
  /** Changes when another file takes its place or when it is written to. */
  readonly identity: string;
}

/** A block that is being filled: a file that has no name among the blocks yet. */
export interface Draft {
  readonly handle: FileHandle;
  readonly path: string;
}

/**
 * The files of a cache, in a directory that several processes may share:
 *
 * - `index.db`: see `BlockIndex`
 * - `blocks/<xx>/<name>`: whole blocks, by the first two digits of their names
 * - `filling/<process>.<number>`: blocks that are being fetched
 * - `processes/<process>`: shows that a process lives
 */
export class CacheDirectory implements AsyncDisposable {
  readonly index: BlockIndex;
  readonly #root: string;
  readonly #process: string;
  readonly #presence: Presence;
  #drafts = 0;

  private constructor(root: string, process: string, presence: Presence) {
    this.#root = root;
    this.#process = process;
    this.#presence = presence;
    this.index = openIndex(root, process);
  }

  /**
   * Opens the directory, or creates it, and removes what processes that have ended left behind. Rejects with an error of
   * the system, or one that says what is wrong with the directory.
   */
  static async open(path: string): Promise<CacheDirectory> {
    await makeFolders(path);
    const root = join(path, ownFolderName);
    await makeOwn(root);
    for (const name of [processesName, fillingName, blocksName]) await makeOwn(join(root, name));
    const process = randomUUID();
    const presence = new Presence(join(root, processesName), process);
    try {
      const directory = new CacheDirectory(root, process, presence);
      await directory.#tidy();
      return directory;
    } catch (error) {
      presence[Symbol.dispose]();
      throw error;
    }
  }

  /** Opens a block; rejects with ENOENT when it is gone. */
  async openBlock(address: BlockAddress): Promise<OpenBlock> {
    const handle = await openOwn(this.#pathOf(address));
    try {
      const { size, ino, mtimeMs } = await handle.stat();
      return { handle, bytes: size, identity: `${ino} ${mtimeMs}` };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async createDraft(): Promise<Draft> {
    this.#drafts++;
    const path = join(this.#root, fillingName, `${this.#process}.${this.#drafts}`);
    return { path, handle: await this.#withFolder(path, () => createOwn(path)) };
  }

  /** Gives a whole draft its place among the blocks. */
  async publish({ path }: Draft, address: BlockAddress): Promise<void> {
    const place = this.#pathOf(address);
    await this.#withFolder(place, () => rename(path, place));
  }

  async removeDraft({ path }: Draft): Promise<void> {
    await rm(path, { force: true });
  }

  /** Removes blocks that the index marks as about to be removed, or whose files are of no use. */
  async remove(addresses: readonly BlockAddress[]): Promise<void> {
    for (const address of addresses) await removeAny(this.#pathOf(address));
    await this.index.removed(addresses);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index.close();
    this.#presence[Symbol.dispose]();
  }

  #pathOf(address: BlockAddress): string {
    return join(this.#root, blocksName, address.file.slice(0, 2), nameOf(address));
  }

  /** Repeats work that needs the folder of a path when that does not exist, also when all were removed meanwhile. */
  async #withFolder<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
    await mkdir(join(path, ".."), { recursive: true, mode: directoryMode });
    return work();
  }

  /** Removes what ended processes left, and makes the index and the blocks agree. */
  async #tidy(): Promise<void> {
    const processes = join(this.#root, processesName);
    const isLiving = (name: string) => isAlive(processes, name);
    await this.remove(await this.index.forgetEnded(isLiving));
    for (const name of await readdir(join(this.#root, fillingName))) {
      const [owner = ""] = name.split(".");
      if (owner !== this.#process && !isLiving(owner)) await removeAny(join(this.#root, fillingName, name));
    }
    for (const name of await readdir(processes)) {
      const stats =
        name === this.#process ? undefined : await lstat(join(processes, name)).catch(ignoreMissing);
      if (stats && stats.mtimeMs < Date.now() - strayMs) isLiving(name);
    }
    for (let digits = 0; digits < 256; digits++) await this.#tidyFolder(digits.toString(16).padStart(2, "0"));
  }

  async #tidyFolder(digits: string): Promise<void> {
    const folder = join(this.#root, blocksName, digits);
    // In this order: a block that another process adds meanwhile must not lose its place in the index.
    const indexed = this.index.below(digits);
    const names = new Set((await readdir(folder).catch(ignoreMissing)) ?? []);
    const missing = indexed.filter((address) => !names.delete(nameOf(address)));
    if (missing.length > 0) await this.index.removed(missing);
    for (const name of names) if (addressOf(name) !== undefined) await removeAny(join(folder, name));
  }
}

/** Removes what has the name of a file of the cache, even if it is a folder. */
function removeAny(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true });
}

/** One that is of no use is replaced, and the blocks with it. */
function openIndex(root: string, process: string): BlockIndex {
  const path = join(root, indexName);
  makePrivate(path);
  try {
    return new BlockIndex(path, process);
  } catch (error) {
    if (!(error instanceof ForeignIndex)) throw error;
  }
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
  makePrivate(path);
  return new BlockIndex(path, process);
}

/** SQLite would let everybody read a file that it creates. */
function makePrivate(path: string): void {
  try {
    createEmpty(path);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
}

/** Makes a folder and those above it. The call of Node.js never ends in a file system that has no new folders (/proc). */
async function makeFolders(path: string): Promise<void> {
  const create = () => mkdir(path, { mode: directoryMode });
  try {
    await create();
  } catch (error) {
    if (hasCode(error, "EEXIST")) return;
    const parent = dirname(path);
    if (!hasCode(error, "ENOENT") || parent === path) throw error;
    await makeFolders(parent);
    await create().catch(ignoreExisting);
  }
}

/** Makes a folder that only this user can use. */
async function makeOwn(path: string): Promise<void> {
  await mkdir(path, { mode: directoryMode }).catch(ignoreExisting);
  await requireOwn(path);
}

/** Rejects when a folder is a link, another user's, or open to others. */
export async function requireOwn(path: string): Promise<void> {
  const stats = await lstat(path);
  const user = process.geteuid?.();
  if (!stats.isDirectory()) throw new Error(`${path} is not a directory`);
  if (user === undefined) return;
  if (stats.uid !== user) throw new Error(`${path} belongs to another user`);
  if ((stats.mode & 0o077) !== 0) throw new Error(`other users can use ${path}: chmod 700 ${path}`);
}

function ignoreExisting(error: unknown): void {
  if (!hasCode(error, "EEXIST")) throw error;
}

function ignoreMissing(error: unknown): undefined {
  if (!hasCode(error, "ENOENT")) throw error;
}
