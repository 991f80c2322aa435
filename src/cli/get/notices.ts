import type { DownloadProgress } from "../../client/index.ts";

/** Notices that are remembered; they may quote a server. */
const maxShown = 100;

/** Filters notices: one that is repeated while the download makes no progress is shown once. */
export class Notices {
  readonly #shown = new Set<string>();
  #last: string | undefined;
  #bytesDone = 0;

  /** The notice to show now; undefined if there is none, or it has been shown. */
  fresh({ notice, bytesDone }: Pick<DownloadProgress, "notice" | "bytesDone">): string | undefined {
    if (bytesDone > this.#bytesDone) this.#shown.clear();
    this.#bytesDone = bytesDone;
    const isNew = notice !== this.#last;
    this.#last = notice;
    if (notice === undefined || !isNew || this.#shown.has(notice)) return undefined;
    if (this.#shown.size >= maxShown) this.#shown.clear();
    this.#shown.add(notice);
    return notice;
  }
}
