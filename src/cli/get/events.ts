import { DownloadError } from "../../client/download-error.ts";
import type { DownloadProgress, DownloadResult, FileState } from "../../client/index.ts";
import { exitCodes } from "../exit-codes.ts";
import { explain } from "../failure.ts";
import type { Output } from "../output.ts";
import type { Reporter, Subject } from "./get.ts";
import { Notices } from "./notices.ts";

/** How long at least between two events that tell only how far the download is. */
const everyMs = 1_000;

/** Tells programs how a download goes: an object a line, of which `event` says what it is about (docs/cli.md). */
export class GetEvents implements Reporter {
  readonly #output: Output;
  readonly #url: string;
  readonly #states = new Map<string, FileState>();
  readonly #notices = new Notices();
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(output: Output, url: string) {
    this.#output = output;
    this.#url = url;
  }

  begin({ itemId, name, directory }: Subject): void {
    this.#tell("item", { item_id: itemId, name, directory });
  }

  progress(progress: DownloadProgress): void {
    const { percent, bytesDone, bytesTotal, files } = progress;
    for (const file of files) {
      if (this.#states.get(file.name) === file.state) continue;
      this.#states.set(file.name, file.state);
      this.#tell("file", { name: file.name, state: file.state, size: file.size, bytes_done: file.bytesDone });
    }
    const notice = this.#notices.fresh(progress);
    if (notice !== undefined) this.#tell("notice", { message: notice });
    const now = performance.now();
    if (now - this.#toldAt < everyMs && bytesDone < bytesTotal) return;
    this.#toldAt = now;
    this.#tell("progress", { percent: Math.floor(percent), bytes_done: bytesDone, bytes_total: bytesTotal });
  }

  done({ itemId, contentVersion, files, bytesTotal, bytesFetched }: DownloadResult, elapsedMs: number): void {
    this.#tell("result", {
      item_id: itemId,
      content_version: contentVersion,
      bytes_total: bytesTotal,
      bytes_fetched: bytesFetched,
      elapsed_ms: Math.round(elapsedMs),
      files: files.map(({ name, path, size, sha256, outcome }) => ({ name, path, size, sha256, outcome })),
    });
  }

  failed(error: unknown): void {
    const told = explain(error, this.#url);
    if (told === undefined) return;
    const file = error instanceof DownloadError ? error.file : undefined;
    this.#tell("error", {
      reason: told.exit,
      exit_code: exitCodes[told.exit].code,
      message: told.message,
      file,
    });
  }

  #tell(event: string, facts: object): void {
    this.#output.json({ event, ...facts });
  }
}
