import type { DownloadProgress } from "../../client/index.ts";

/** Which notices are news: one that comes again and again while nothing gets on is told once. */
export class Notices {
  readonly #told = new Set<string>();
  #last: string | undefined;
  #bytesDone = 0;

  /** The notice to tell now; undefined when there is none, or it has been told. */
  fresh({ notice, bytesDone }: DownloadProgress): string | undefined {
    if (bytesDone > this.#bytesDone) this.#told.clear();
    this.#bytesDone = bytesDone;
    const isNew = notice !== this.#last;
    this.#last = notice;
    if (notice === undefined || !isNew || this.#told.has(notice)) return undefined;
    this.#told.add(notice);
    return notice;
  }
}
