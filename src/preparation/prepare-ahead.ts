import { setTimeout as delay } from "node:timers/promises";
import type { ContentSource, ItemFile } from "../domain/content-source.ts";
import type { VersionedFile } from "../domain/preparation.ts";

export interface PrepareAheadOptions {
  readonly content: Pick<ContentSource, "items" | "contents">;
  readonly preparations: {
    /** See `SharedPreparations.ahead`. */
    ahead(file: VersionedFile, itemFile: ItemFile): Promise<boolean>;
  };
  /** `new`: the files that appear or change from now on; `all`: also those that are there. */
  readonly which: "new" | "all";
  /** Pause between two looks at all items, in milliseconds. */
  readonly roundMs?: number;
}

/** Pause between two items, so that looking at many takes little at a time. */
const itemMs = 5;

/**
 * Prepares files before they are requested: one at a time, and only while no requested one is being prepared. Processes
 * that share a store share the work: each file is done by the first one that comes to it.
 */
export class PrepareAhead {
  readonly #options: PrepareAheadOptions;
  readonly #abort = new AbortController();
  /** The content version of each item whose files are done. */
  #done = new Map<string, string>();

  constructor(options: PrepareAheadOptions) {
    this.#options = options;
    void this.#run();
  }

  /** Begins no more files. */
  close(): void {
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const { which, roundMs = 10_000 } = this.#options;
    let isFirst = true;
    while (!this.#abort.signal.aborted) {
      try {
        await this.#round(which === "new" && isFirst);
        isFirst = false;
      } catch {
        // The source does not answer; the next round looks again.
      }
      await this.#pause(roundMs);
    }
  }

  /** @param isPresent whether what is there counts as done */
  async #round(isPresent: boolean): Promise<void> {
    const { content } = this.#options;
    const done = new Map<string, string>();
    for (const { id: itemId } of (await content.items()) ?? []) {
      if (this.#abort.signal.aborted) return;
      const contents = await content.contents(itemId);
      if (contents === undefined) continue;
      const { contentVersion, files } = contents;
      const isDone =
        isPresent ||
        this.#done.get(itemId) === contentVersion ||
        (await this.#prepare(itemId, contentVersion, files));
      if (isDone) done.set(itemId, contentVersion);
      await this.#pause(itemMs);
    }
    this.#done = done;
  }

  /** Resolves with false when a file has to be tried again. */
  async #prepare(itemId: string, contentVersion: string, files: readonly ItemFile[]): Promise<boolean> {
    let isDone = true;
    for (const file of files) {
      if (this.#abort.signal.aborted) return false;
      const version = { itemId, contentVersion, fileName: file.name };
      if (!(await this.#options.preparations.ahead(version, file).catch(() => false))) isDone = false;
    }
    return isDone;
  }

  async #pause(ms: number): Promise<void> {
    await delay(ms, undefined, { ref: false, signal: this.#abort.signal }).catch(() => {});
  }
}
