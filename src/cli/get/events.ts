import { DownloadError } from "../../client/download-error.ts";
import type { DownloadProgress, DownloadResult, FileState } from "../../client/index.ts";
import { exitCodes } from "../exit-codes.ts";
import { explain } from "../failure.ts";
import type { Output } from "../output.ts";
import { Notices } from "./notices.ts";
import type { Reporter, Subject, Total } from "./reporter.ts";

/** Minimum time between two `progress` events. */
const intervalMs = 1_000;

/** Reports a download to programs: one JSON object a line; its `event` names the kind (docs/cli.md). */
export class GetEvents implements Reporter {
  readonly #output: Output;
  readonly #url: string;
  readonly #states = new Map<string, FileState>();
  readonly #notices = new Notices();
  #writtenAt = Number.NEGATIVE_INFINITY;
  #itemId: string | undefined;

  constructor(output: Output, url: string) {
    this.#output = output;
    this.#url = url;
  }

  waiting(notice: string): void {
    const message = this.#notices.fresh({ notice, bytesDone: 0 });
    if (message !== undefined) this.#write("notice", { message });
  }

  begin({ itemId, name, directory }: Subject): void {
    this.#itemId = itemId;
    this.#write("item", { item_id: itemId, name, directory });
  }

  progress(progress: DownloadProgress): void {
    const { percent, bytesDone, bytesTotal, files } = progress;
    for (const file of files) {
      if (this.#states.get(file.name) === file.state) continue;
      this.#states.set(file.name, file.state);
      this.#write("file", {
        name: file.name,
        state: file.state,
        size: file.size,
        bytes_done: file.bytesDone,
      });
    }
    const notice = this.#notices.fresh(progress);
    if (notice !== undefined) this.#write("notice", { message: notice });
    const now = performance.now();
    if (now - this.#writtenAt < intervalMs && bytesDone < bytesTotal) return;
    this.#writtenAt = now;
    this.#write("progress", { percent: Math.floor(percent), bytes_done: bytesDone, bytes_total: bytesTotal });
  }

  done({ itemId, contentVersion, files, bytesTotal, bytesFetched }: DownloadResult, elapsedMs: number): void {
    this.#write("result", {
      item_id: itemId,
      content_version: contentVersion,
      bytes_total: bytesTotal,
      bytes_fetched: bytesFetched,
      elapsed_ms: Math.round(elapsedMs),
      files: files.map(({ name, path, size, sha256, outcome }) => ({ name, path, size, sha256, outcome })),
    });
  }

  failed(error: unknown): void {
    const explanation = explain(error, this.#url);
    if (explanation === undefined) return;
    const file = error instanceof DownloadError ? error.file : undefined;
    this.#write("error", {
      reason: explanation.exit,
      exit_code: exitCodes[explanation.exit].code,
      message: explanation.message,
      item_id: this.#itemId,
      file,
    });
  }

  finish({ library, files, bytesTotal, bytesFetched }: Total, elapsedMs: number): void {
    // The event about a single item says all of that.
    if (library === undefined) return;
    this.#write("summary", {
      items: library.done,
      items_total: library.of,
      files: files.length,
      bytes_total: bytesTotal,
      bytes_fetched: bytesFetched,
      elapsed_ms: Math.round(elapsedMs),
    });
  }

  #write(event: string, facts: object): void {
    this.#output.json({ event, ...facts });
  }
}
