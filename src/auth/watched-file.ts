import { type BigIntStats, constants } from "node:fs";
import { open, stat } from "node:fs/promises";

export interface WatchedFileOptions<T> {
  readonly path: string;
  readonly maxBytes: number;
  /** Parses the text of the file. Its errors say what is wrong, without secrets. */
  parse(text: string): T;
  /** Called whenever the file was read without error, the first time included. */
  onRead?(file: BigIntStats): void;
  /** Called when another value is in force. */
  onChange?(value: T, previous: T): void;
  /** Called once for each version of the file that can't be used; the last good value stays. */
  onBroken(reason: string): void;
  /** How often to check the file for changes, in milliseconds; once a second by default. */
  readonly pollMs?: number;
}

/** The version of a file that is not there. */
const missing = "";

/**
 * The parsed content of a file, which is read again when it changes. The file is polled: notifications of the system
 * miss changes of mounted configuration, where a symbolic link to a directory is replaced.
 *
 * A change counts once two looks have found the same version, a quarter of the pause between polls apart: a program that
 * writes the file in place empties it first, and users that are missing for a moment must not lose anything.
 */
export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  readonly #timer: NodeJS.Timeout;
  readonly #settleMs: number;
  #value: T;
  #version: string;
  /** The version that the last look has found, if it is a new one. */
  #found: string | undefined;
  #isPolling = false;
  #isClosed = false;

  private constructor(options: WatchedFileOptions<T>, { value, version }: { value: T; version: string }) {
    const { pollMs = 1000 } = options;
    this.#options = options;
    this.#value = value;
    this.#version = version;
    this.#settleMs = pollMs / 4;
    this.#timer = setInterval(() => void this.#poll(), pollMs).unref();
  }

  /** @throws Error when the file can't be used */
  static async open<T>(options: WatchedFileOptions<T>): Promise<WatchedFile<T>> {
    return new WatchedFile(options, await read(options));
  }

  get value(): T {
    return this.#value;
  }

  /** Reads the file now, whether it has changed or not. Resolves with whether it could be used. */
  async reload(): Promise<boolean> {
    const found = await versionAt(this.#options.path);
    try {
      const { value, version } = await read(this.#options);
      const previous = this.#value;
      [this.#value, this.#version] = [value, version];
      this.#options.onChange?.(value, previous);
      return true;
    } catch (error) {
      this.#version = found;
      this.#options.onBroken((error as Error).message);
      return false;
    }
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  async #poll(): Promise<void> {
    if (this.#isPolling || this.#isClosed) return;
    this.#isPolling = true;
    const found = await versionAt(this.#options.path);
    const isSettled = found === this.#found;
    this.#found = found === this.#version ? undefined : found;
    if (this.#found !== undefined) {
      if (isSettled) await this.reload();
      else setTimeout(() => void this.#poll(), this.#settleMs).unref();
    }
    this.#isPolling = false;
  }
}

async function versionAt(path: string): Promise<string> {
  try {
    return versionOf(await stat(path, { bigint: true }));
  } catch {
    return missing;
  }
}

async function read<T>({ path, maxBytes, parse, onRead }: WatchedFileOptions<T>) {
  // Opening a pipe would block otherwise.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    // Before the content is read: a change in between is then found by the next poll.
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) throw new Error("it is not a file");
    if (stats.size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    const bytes = Buffer.alloc(Number(stats.size));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const value = parse(textOf(bytes.subarray(0, bytesRead)));
    onRead?.(stats);
    return { value, version: versionOf(stats) };
  } finally {
    await file.close();
  }
}

function versionOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Error("it is not UTF-8 text");
  }
}
