/** How far a download is. */
export interface DownloadProgress {
  /** 0 to 100, of the bytes. */
  readonly percent: number;
  /** Bytes that are on the disk, those of earlier runs included. Falls when a file has to be started over. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** In the order of the item. */
  readonly files: readonly FileProgress[];
  /** What the download waits for, or had to do, in a sentence; unset when all goes well. */
  readonly notice?: string;
}

export interface FileProgress {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly bytesDone: number;
  readonly state: FileState;
}

export type FileState = "waiting" | "preparing" | "downloading" | "verifying" | "done";

const leastPauseMs = 100;

/** Keeps the score of a download, and tells it at most ten times a second, and whenever there is a new notice. */
export class ProgressBoard implements Disposable {
  readonly #tell: (progress: DownloadProgress) => void;
  readonly #onError: (error: unknown) => void;
  #files = new Map<string, FileProgress>();
  #notice: string | undefined;
  #toldAt = Number.NEGATIVE_INFINITY;
  /** What is told when the pause is over. */
  #later: NodeJS.Timeout | undefined;

  /** @param onError told what `tell` throws when nobody is there to catch it */
  constructor(tell: (progress: DownloadProgress) => void, onError: (error: unknown) => void) {
    this.#tell = tell;
    this.#onError = onError;
  }

  /** Begins, or begins again, with these files. */
  begin(files: readonly Pick<FileProgress, "name" | "size">[]): void {
    this.#files = new Map(
      files.map(({ name, size }) => [name, { name, size, bytesDone: 0, state: "waiting" }]),
    );
    this.tell();
  }

  set(name: string, change: Partial<Omit<FileProgress, "name">>): void {
    const file = this.#files.get(name);
    if (file === undefined) return;
    this.#files.set(name, { ...file, ...change });
    const waitMs = this.#toldAt + leastPauseMs - performance.now();
    if (waitMs <= 0) this.tell();
    else this.#later ??= setTimeout(() => this.#tellLater(), waitMs);
  }

  /** @param notice undefined when all goes well again */
  note(notice: string | undefined): void {
    if (notice === this.#notice) return;
    this.#notice = notice;
    this.tell();
  }

  tell(): void {
    this[Symbol.dispose]();
    this.#toldAt = performance.now();
    this.#tell(this.#progress());
  }

  /** Tells nothing more by itself. */
  [Symbol.dispose](): void {
    clearTimeout(this.#later);
    this.#later = undefined;
  }

  #tellLater(): void {
    try {
      this.tell();
    } catch (error) {
      this.#onError(error);
    }
  }

  #progress(): DownloadProgress {
    const files = [...this.#files.values()];
    const bytesDone = files.reduce((sum, file) => sum + file.bytesDone, 0);
    const bytesTotal = files.reduce((sum, { size }) => sum + size, 0);
    const done = files.length > 0 && files.every(({ state }) => state === "done");
    const percent = bytesTotal > 0 ? (100 * bytesDone) / bytesTotal : done ? 100 : 0;
    return {
      percent,
      bytesDone,
      bytesTotal,
      files,
      ...(this.#notice !== undefined && { notice: this.#notice }),
    };
  }
}
