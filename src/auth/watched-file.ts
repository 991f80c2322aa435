import { type BigIntStats, constants } from "node:fs";
import { open, stat } from "node:fs/promises";

export interface WatchedFileOptions<T> {
  readonly path: string;
  readonly maxBytes: number;
  /** Parses the text of the file. Its errors say what is wrong, without secrets. */
  parse(text: string): T;
  /** Called whenever the file was read without error, the first time included. */
  onRead?(file: BigIntStats): void;
  /** Called once for each version of the file that can't be used; the last good value stays. */
  onBroken(reason: string): void;
  /** How often to check the file for changes, in milliseconds; once a second by default. */
  readonly pollMs?: number;
}

/**
 * The parsed content of a file, which is read again when it changes. The file is polled: notifications of the system
 * miss changes of mounted configuration, where a symbolic link to a directory is replaced.
 */
export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  readonly #timer: NodeJS.Timeout;
  #value: T;
  #version: string;

  private constructor(options: WatchedFileOptions<T>, { value, version }: { value: T; version: string }) {
    this.#options = options;
    this.#value = value;
    this.#version = version;
    let isPolling = false;
    const poll = async () => {
      if (isPolling) return;
      isPolling = true;
      await this.#poll();
      isPolling = false;
    };
    this.#timer = setInterval(() => void poll(), options.pollMs ?? 1000).unref();
  }

  /** @throws Error when the file can't be used */
  static async open<T>(options: WatchedFileOptions<T>): Promise<WatchedFile<T>> {
    return new WatchedFile(options, await read(options));
  }

  get value(): T {
    return this.#value;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #poll(): Promise<void> {
    const { path, onBroken } = this.#options;
    let version = "";
    try {
      version = versionOf(await stat(path, { bigint: true }));
      if (version === this.#version) return;
      ({ value: this.#value, version: this.#version } = await read(this.#options));
    } catch (error) {
      // A missing file is a version, too, and reported once.
      if (version === this.#version) return;
      this.#version = version;
      onBroken((error as Error).message);
    }
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
