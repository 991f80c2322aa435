/** The progress of a download. */
export interface DownloadProgress {
  /** Share of the bytes that are on disk, 0 to 100. */
  readonly percent: number;
  /** Bytes on disk, including those of earlier runs. Falls when a file is started over. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** In the order that the item lists them. */
  readonly files: readonly FileProgress[];
  /** A sentence about what the download is waiting for or has started over; unset when there is no problem. */
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

const minPauseMs = 100;

/** Collects the progress of a download and reports it at most ten times a second, and immediately with a new notice. */
export class ProgressBoard implements Disposable {
  readonly #report: (progress: DownloadProgress) => void;
  readonly #onError: (error: unknown) => void;
  #files = new Map<string, FileProgress>();
  #notice: string | undefined;
  #reportedAt = Number.NEGATIVE_INFINITY;
  /** Reports at the end of the pause. */
  #later: NodeJS.Timeout | undefined;

  /** @param onError called with an error that `report` throws in a timer */
  constructor(report: (progress: DownloadProgress) => void, onError: (error: unknown) => void) {
    this.#report = report;
    this.#onError = onError;
  }

  /** Starts, or starts over, with these files. */
  begin(files: readonly Pick<FileProgress, "name" | "size">[]): void {
    this.#files = new Map(
      files.map(({ name, size }) => [name, { name, size, bytesDone: 0, state: "waiting" }]),
    );
    this.report();
  }

  set(name: string, change: Partial<Omit<FileProgress, "name">>): void {
    const file = this.#files.get(name);
    if (file === undefined) return;
    this.#files.set(name, { ...file, ...change });
    const waitMs = this.#reportedAt + minPauseMs - performance.now();
    if (waitMs <= 0) this.report();
    else this.#later ??= setTimeout(() => this.#reportLater(), waitMs);
  }

  /** @param notice undefined to clear it */
  note(notice: string | undefined): void {
    if (notice === this.#notice) return;
    this.#notice = notice;
    this.report();
  }

  report(): void {
    this[Symbol.dispose]();
    this.#reportedAt = performance.now();
    this.#report(this.#progress());
  }

  /** Cancels a report that is due later. */
  [Symbol.dispose](): void {
    clearTimeout(this.#later);
    this.#later = undefined;
  }

  #reportLater(): void {
    try {
      this.report();
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
