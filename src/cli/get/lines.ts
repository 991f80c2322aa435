import type { DownloadProgress, DownloadResult, FileState } from "../../client/index.ts";
import type { Output } from "../output.ts";
import { bytes, duration, visible } from "../text.ts";
import { checksumLines, isDownloading, type Reporter, type Subject, summary } from "./get.ts";
import { Notices } from "./notices.ts";
import { Rate } from "./rate.ts";

/** How long at least between two lines that tell only how far the download is. */
const everyMs = 5_000;

/** Shows a download as lines, for logs: what each file has come to, and now and then how far the whole is. */
export class GetLines implements Reporter {
  readonly #output: Output;
  readonly #states = new Map<string, FileState>();
  readonly #rate = new Rate();
  readonly #notices = new Notices();
  #toldAt = performance.now();

  constructor(output: Output) {
    this.#output = output;
  }

  begin({ name, directory }: Subject): void {
    this.#output.tell(`getting ${visible(name)} into ${visible(directory)}`);
  }

  progress(progress: DownloadProgress): void {
    const { percent, bytesDone, bytesTotal, files } = progress;
    const now = performance.now();
    this.#rate.add(bytesDone, now);
    for (const { name, state, size } of files) {
      if (this.#states.get(name) === state) continue;
      this.#states.set(name, state);
      if (state !== "waiting")
        this.#output.tell(`${visible(name)}: ${state}${state === "done" ? `, ${bytes(size)}` : ""}`);
    }
    const notice = this.#notices.fresh(progress);
    if (notice !== undefined) this.#output.tell(visible(notice));
    if (now - this.#toldAt < everyMs || bytesDone >= bytesTotal) return;
    this.#toldAt = now;
    const rate = isDownloading(progress) ? this.#rate : undefined;
    const perSecond = rate?.perSecond(now);
    const remainingMs = rate?.remainingMs(bytesTotal, now);
    const parts = [
      `${Math.floor(percent)}%, ${bytes(bytesDone)} of ${bytes(bytesTotal)}`,
      ...(perSecond === undefined ? [] : [`${bytes(perSecond)}/s`]),
      ...(remainingMs === undefined ? [] : [`${duration(remainingMs)} left`]),
    ];
    this.#output.tell(parts.join(", "));
  }

  done(result: DownloadResult, elapsedMs: number): void {
    this.#output.tell(summary(result, elapsedMs));
    this.#output.lines(checksumLines(result));
  }

  failed(): void {}
}
