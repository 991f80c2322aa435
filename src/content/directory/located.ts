import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  existsSync,
  fstat,
  open,
  readlinkSync,
} from "node:fs";
import { type FileHandle, lstat, open as openHandle, readdir, realpath, stat } from "node:fs/promises";
import { sep } from "node:path";
import { promisify } from "node:util";
import { unlessMissing } from "./file-system.ts";

const openDescriptor = promisify(open);
const statDescriptor = promisify(fstat) as (fd: number, options: { bigint: true }) => Promise<BigIntStats>;

/** Where Linux shows what the descriptors of this process refer to; other systems have no such place. */
const descriptors = "/proc/self/fd";
const hasDescriptors = process.platform === "linux" && existsSync(descriptors);

/** Linux: refers to a file without opening it, so that nothing notices and no right to read is needed. */
const O_PATH = 0o10000000;
/** A pipe does not wait for its writer. */
const readOnly = constants.O_RDONLY | constants.O_NONBLOCK;

/** A regular file that is open for reading. */
export interface OpenFile extends FileState {
  readonly handle: FileHandle;
  /** Real path, when it was opened. */
  readonly path: string;
}

export interface FileState {
  /** Bytes. */
  readonly size: number;
  /** Whole milliseconds since the epoch. */
  readonly modifiedMs: number;
}

/** Undefined when it is the state of anything but a regular file. */
export function fileStateOf(stats: BigIntStats | undefined): FileState | undefined {
  // As a floating-point number, one time in eight thousand is rounded up to the next millisecond.
  return stats?.isFile() ? { size: Number(stats.size), modifiedMs: Number(stats.mtimeMs) } : undefined;
}

/** The real path of a folder, to compare others with. Rejects when there is none. */
export async function rootAt(path: string): Promise<string> {
  if (!hasDescriptors) return realpath(path);
  const fd = await openDescriptor(`${path}/.`, O_PATH);
  try {
    return readlinkSync(`${descriptors}/${fd}`);
  } finally {
    closeSync(fd);
  }
}

/**
 * A file or folder inside of a root, held by a descriptor. The descriptor was compared with the root, and everything
 * below goes through it: whatever a writer of the root puts at the path later, nothing outside is opened or listed.
 *
 * Where the system does not show what a descriptor refers to, paths are used, and compared with the descriptor
 * afterwards.
 */
export class Located implements Disposable {
  /** Real path, when it was located. */
  readonly path: string;
  readonly #root: string;
  readonly #fd: number;
  /** A path to what the descriptor refers to. */
  readonly #self: string;

  private constructor(root: string, fd: number, path: string) {
    this.#root = root;
    this.#fd = fd;
    this.path = path;
    this.#self = hasDescriptors ? `${descriptors}/${fd}` : path;
  }

  /**
   * Follows a path and its links; undefined when it leads to no folder inside of `root`.
   *
   * @param root as `rootAt` gives it
   */
  static folder(root: string, path: string): Promise<Located | undefined> {
    // With the dot, a folder that is mounted on demand is mounted.
    return Located.#within(root, `${path}/.`);
  }

  static async #within(root: string, path: string): Promise<Located | undefined> {
    const fd = await unlessMissing(openDescriptor(path, hasDescriptors ? O_PATH : readOnly));
    if (fd === undefined) return undefined;
    try {
      const real = await placeOf(fd, path);
      if (real !== undefined && isWithin(root, real)) return new Located(root, fd, real);
    } catch (reason) {
      closeSync(fd);
      throw reason;
    }
    closeSync(fd);
    return undefined;
  }

  stat(): Promise<BigIntStats> {
    return statDescriptor(this.#fd, { bigint: true });
  }

  /** The entries of this folder. */
  async entries(): Promise<Dirent[]> {
    const entries = await readdir(this.#self, { withFileTypes: true });
    return hasDescriptors || (await placeOf(this.#fd, this.path)) === this.path ? entries : [];
  }

  /** The state of an entry of this folder, a link not followed; undefined when there is none. */
  statEntry(name: string): Promise<BigIntStats | undefined> {
    return unlessMissing(lstat(this.#entry(name), { bigint: true }));
  }

  /** What an entry of this folder is, a link followed; undefined when that is nothing inside of the root. */
  entry(name: string): Promise<Located | undefined> {
    return Located.#within(this.#root, this.#entry(name));
  }

  /**
   * Opens an entry of this folder for reading; undefined when it is no regular file inside of the root. The caller
   * closes the handle.
   */
  async openEntry(name: string): Promise<OpenFile | undefined> {
    if (hasDescriptors) {
      const handle = await unlessMissing(openHandle(this.#entry(name), readOnly | constants.O_NOFOLLOW));
      if (handle !== undefined) return openFileOf(handle, `${this.path}${sep}${name}`);
    }
    using located = await this.entry(name);
    return located && (await located.#open());
  }

  async #open(): Promise<OpenFile | undefined> {
    const stats = await this.stat();
    if (!stats.isFile()) return undefined;
    const handle = await unlessMissing(openHandle(this.#self, readOnly));
    return handle && openFileOf(handle, this.path, stats);
  }

  #entry(name: string): string {
    return `${this.#self}/${name}`;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Closes the handle when it is of no regular file, or of another one than expected. */
async function openFileOf(
  handle: FileHandle,
  path: string,
  expected?: BigIntStats,
): Promise<OpenFile | undefined> {
  try {
    const stats = await handle.stat({ bigint: true });
    const state = expected === undefined || isSame(stats, expected) ? fileStateOf(stats) : undefined;
    if (state !== undefined) return { handle, path, ...state };
  } catch (reason) {
    await handle.close();
    throw reason;
  }
  await handle.close();
  return undefined;
}

/**
 * The real path of what a descriptor refers to; undefined when that is unknown.
 *
 * @param path by which the descriptor was opened
 */
async function placeOf(fd: number, path: string): Promise<string | undefined> {
  // Asks the kernel's memory, not a disk, and takes a few microseconds.
  if (hasDescriptors) return readlinkSync(`${descriptors}/${fd}`);
  const real = await unlessMissing(realpath(path));
  const there = real === undefined ? undefined : await unlessMissing(stat(real, { bigint: true }));
  return there && isSame(there, await statDescriptor(fd, { bigint: true })) ? real : undefined;
}

function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function isWithin(root: string, real: string): boolean {
  return real === root || real.startsWith(root.endsWith(sep) ? root : root + sep);
}
