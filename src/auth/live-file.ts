import { type BigIntStats, constants } from "node:fs";
import { open, stat } from "node:fs/promises";

export interface LiveFileOptions<T> {
  readonly path: string;
  readonly maxBytes: number;
  /** Reads the text of the file; what it throws says what is wrong, without secrets. */
  parse(text: string): T;
  /** Told when the file has been read well, at the start as well. */
  onRead?(file: BigIntStats): void;
  /** Told once of each version of the file that can't be used; the last good one still holds. */
  onBroken(reason: string): void;
  /** How often to look whether the file has changed. */
  readonly everyMs?: number;
}

/**
 * What a file says now. It is looked at once a second and read anew when it has changed: asking the system for changes
 * misses those of mounted configuration, where a link to a directory is turned.
 */
export class LiveFile<T> {
  readonly #options: LiveFileOptions<T>;
  readonly #timer: NodeJS.Timeout;
  #value: T;
  #version: string;

  private constructor(options: LiveFileOptions<T>, { value, version }: { value: T; version: string }) {
    this.#options = options;
    this.#value = value;
    this.#version = version;
    let isLooking = false;
    const look = async () => {
      if (isLooking) return;
      isLooking = true;
      await this.#look();
      isLooking = false;
    };
    this.#timer = setInterval(() => void look(), options.everyMs ?? 1000).unref();
  }

  /** @throws Error when the file can't be used now */
  static async open<T>(options: LiveFileOptions<T>): Promise<LiveFile<T>> {
    return new LiveFile(options, await read(options));
  }

  get value(): T {
    return this.#value;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { path, onBroken } = this.#options;
    let version = "";
    try {
      version = versionOf(await stat(path, { bigint: true }));
      if (version === this.#version) return;
      ({ value: this.#value, version: this.#version } = await read(this.#options));
    } catch (error) {
      // A file that is not there has a version, too: it is told once.
      if (version === this.#version) return;
      this.#version = version;
      onBroken((error as Error).message);
    }
  }
}

async function read<T>({ path, maxBytes, parse, onRead }: LiveFileOptions<T>) {
  // A pipe, if it were one, would else be waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    // Before the content: a change in between is seen at the next look.
    const stats = await file.stat({ bigint: true });
    if (!stats.isFile()) throw new Error("it is no file");
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
    throw new Error("it is no text in UTF-8");
  }
}
