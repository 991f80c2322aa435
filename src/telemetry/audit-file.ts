import { type FileHandle, open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

export interface AuditFileOptions {
  readonly path: string;
  readonly log: { info(message: string): void; error(members: object, message: string): void };
  /** Called for each write that fails, and for each line that is given up. */
  readonly countFailure: (reason: "write" | "dropped") => void;
  /** Bytes of lines that may wait, in characters. */
  readonly maxWaiting?: number;
  /** Pause before a line that could not be written is tried again, in milliseconds. */
  readonly retryMs?: number;
}

/** How often at most a failure is logged, in milliseconds. */
const logMs = 60_000;
/** How long `close` waits for lines, in milliseconds. */
const closeMs = 1_000;

/**
 * A file that lines are appended to, each by one write, so that several processes may share it. A line that can't be
 * written, for example because the disk is full, waits and is tried again; when too many wait, new ones are dropped. Nothing
 * blocks and nothing throws.
 *
 * `sonic-boom` does not fit: it merges lines, ends no process while the disk is full, and a reopening that has failed
 * makes it close its file twice.
 */
export class AuditFile {
  readonly #options: AuditFileOptions;
  readonly #maxWaiting: number;
  #file: FileHandle;
  /** The next file, once a reopening has opened it. */
  #next: FileHandle | undefined;
  readonly #lines: string[] = [];
  #waiting = 0;
  #writing: Promise<void> | undefined;
  #loggedAt = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  #isClosed = false;

  private constructor(file: FileHandle, options: AuditFileOptions) {
    this.#file = file;
    this.#options = options;
    this.#maxWaiting = options.maxWaiting ?? 4 * 1024 * 1024;
  }

  /** Opens the file, or creates it for its owner alone. Rejects with the system's error. */
  static async open(options: AuditFileOptions): Promise<AuditFile> {
    return new AuditFile(await append(options.path), options);
  }

  /** @param line with its end */
  write(line: string): void {
    if (this.#isClosed || this.#waiting + line.length > this.#maxWaiting) {
      this.#options.countFailure("dropped");
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    this.#writing ??= this.#writeAll();
  }

  /** Opens the path again, after the file was renamed. When that fails, which is logged, the previous file stays. */
  async reopen(): Promise<void> {
    try {
      const file = await append(this.#options.path);
      await this.#next?.close();
      this.#next = file;
      if (this.#writing === undefined) await this.#swap();
    } catch (error) {
      const reason = (error as Error).message;
      this.#options.log.error({ reason }, "the audit log can't be opened again; keeping the previous file");
    }
  }

  /** Resolves when all lines are written, or soon when that is impossible. */
  async close(): Promise<void> {
    await Promise.race([this.#writing, delay(closeMs, undefined, { ref: false })]);
    this.#isClosed = true;
    for (const _ of this.#lines.splice(0)) this.#options.countFailure("dropped");
    await this.#swap();
    // Waits for the write that is running.
    await this.#file.close();
  }

  async #writeAll(): Promise<void> {
    for (let isTorn = false; this.#lines.length > 0; ) {
      const line: string = this.#lines[0]!;
      // A line of which only the beginning was written is written again, on a line of its own.
      const bytes: Buffer = Buffer.from(isTorn ? `\n${line}` : line);
      try {
        await this.#swap();
        const { bytesWritten }: { bytesWritten: number } = await this.#file.write(bytes);
        if (bytesWritten < bytes.length) {
          isTorn ||= bytesWritten > 0;
          throw new Error("a part of a line was written");
        }
        isTorn = false;
        this.#worked();
        this.#lines.shift();
        this.#waiting -= line.length;
      } catch (error) {
        this.#failed(error);
        if (!this.#isClosed) await delay(this.#options.retryMs ?? 1000, undefined, { ref: false });
      }
    }
    this.#writing = undefined;
  }

  async #swap(): Promise<void> {
    if (this.#next === undefined) return;
    const previous = this.#file;
    [this.#file, this.#next] = [this.#next, undefined];
    await previous.close();
  }

  #failed(error: unknown): void {
    this.#isFailing = true;
    this.#options.countFailure("write");
    const now = performance.now();
    if (now - this.#loggedAt < logMs) return;
    this.#loggedAt = now;
    this.#options.log.error(
      { reason: (error as Error).message, waiting: this.#lines.length },
      "the audit log can't be written; entries wait, and are dropped when too many do",
    );
  }

  #worked(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#loggedAt = Number.NEGATIVE_INFINITY;
    this.#options.log.info("the audit log is written again");
  }
}

function append(path: string): Promise<FileHandle> {
  return open(path, "a", 0o600);
}
