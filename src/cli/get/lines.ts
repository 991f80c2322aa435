import type { DownloadProgress, DownloadResult, FileState } from "../../client/index.ts";
import { visible } from "../../client/printable.ts";
import type { Output } from "../output.ts";
import { bytes, duration } from "../text.ts";
import { Notices } from "./notices.ts";
import { Rate } from "./rate.ts";
import {
  checksumLines,
  isDownloading,
  type Reporter,
  type Subject,
  summary,
  type Total,
} from "./reporter.ts";

/** Minimum time between two lines about the whole download. */
const intervalMs = 5_000;

/** Shows a download as lines for logs: each new state of a file, and every few seconds the progress of the whole download. */
export class GetLines implements Reporter {
  readonly #output: Output;
  readonly #states = new Map<string, FileState>();
  readonly #rate = new Rate();
  readonly #notices = new Notices();
  #writtenAt = performance.now();

  constructor(output: Output) {
    this.#output = output;
  }

  waiting(notice: string): void {
    const fresh = this.#notices.fresh({ notice, bytesDone: 0 });
    if (fresh !== undefined) this.#output.note(visible(fresh));
  }

  begin({ name, directory }: Subject): void {
    this.#output.note(`getting ${visible(name)} into ${visible(directory)}`);
  }

  progress(progress: DownloadProgress): void {
    const { percent, bytesDone, bytesTotal, files } = progress;
    const now = performance.now();
    this.#rate.add(bytesDone, now);
    for (const { name, state, size } of files) {
      if (this.#states.get(name) === state) continue;
      this.#states.set(name, state);
      if (state !== "waiting")
        this.#output.note(`${visible(name)}: ${state}${state === "done" ? `, ${bytes(size)}` : ""}`);
    }
    const notice = this.#notices.fresh(progress);
    if (notice !== undefined) this.#output.note(visible(notice));
    if (now - this.#writtenAt < intervalMs || bytesDone >= bytesTotal) return;
    this.#writtenAt = now;
    const rate = isDownloading(progress) ? this.#rate : undefined;
    const perSecond = rate?.perSecond(now);
    const remainingMs = rate?.remainingMs(bytesTotal, now);
    const parts = [
      `${Math.floor(percent)}%, ${bytes(bytesDone)} of ${bytes(bytesTotal)}`,
      ...(perSecond === undefined ? [] : [`${bytes(perSecond)}/s`]),
      ...(remainingMs === undefined ? [] : [`${duration(remainingMs)} left`]),
    ];
    this.#output.note(parts.join(", "));
  }

  done(result: DownloadResult): void {
    this.#output.lines(checksumLines(result));
  }

  failed(): void {}

  finish(total: Total, elapsedMs: number): void {
    this.#output.note(summary(total, elapsedMs));
  }
}
