import { setTimeout as delay } from "node:timers/promises";
import { explain, isPassing } from "../failure.ts";
import type { Output } from "../output.ts";
import type { Task } from "../run.ts";
import { fitted } from "../text.ts";

/** Something that is looked at again and again. */
export interface Watched<T> {
  read(): Promise<T>;
  /** As a terminal shows it. */
  frame(seen: T): readonly string[];
  /** As it is told elsewhere: each of these when it is new or has changed. */
  entries(seen: T): readonly Entry[];
  /** What to tell when an entry is there no more. */
  gone(key: string): Omit<Entry, "key"> | undefined;
  /** Whether nothing can change any more. */
  isOver?(seen: T): boolean;
}

export interface Entry {
  readonly key: string;
  readonly line: string;
  readonly json: unknown;
}

/** Shows what is watched until it is over or the command is to end. A server that does not answer is waited for. */
export async function watch<T>(
  { output, call, server, flags }: Task<{ readonly interval: number }>,
  watched: Watched<T>,
): Promise<void> {
  const view = output.isTerminal ? new Screen(output, watched) : new Changes(output, watched);
  let isReached = true;
  while (!call.signal.aborted) {
    try {
      const seen = await watched.read();
      if (!isReached) view.reached(`${server.url} is reached again`);
      isReached = true;
      view.show(seen);
      if (watched.isOver?.(seen)) return;
    } catch (error) {
      if (call.signal.aborted) return;
      if (!isPassing(error)) throw error;
      if (isReached) view.lost(`trying again: ${explain(error, server.url)!.message}`);
      isReached = false;
    }
    await delay(flags.interval * 1000, undefined, { signal: call.signal }).catch(() => {});
  }
}

interface View<T> {
  show(seen: T): void;
  lost(message: string): void;
  reached(message: string): void;
}

/** Draws in the place of what it has drawn before. */
class Screen<T> implements View<T> {
  readonly #output: Output;
  readonly #watched: Watched<T>;
  #lines: readonly string[] = [];
  #drawn = 0;

  constructor(output: Output, watched: Watched<T>) {
    this.#output = output;
    this.#watched = watched;
  }

  show(seen: T): void {
    this.#lines = this.#watched.frame(seen);
    this.#draw(this.#lines);
  }

  lost(message: string): void {
    this.#draw([...this.#lines, "", message]);
  }

  reached(): void {}

  #draw(lines: readonly string[]): void {
    const { width = 80, height } = this.#output;
    const room = height - 1;
    const shown =
      lines.length <= room ? lines : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more`];
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    this.#output.raw(`${up}\r\x1b[J${shown.map((line) => `${fitted(line, width)}\n`).join("")}`);
    this.#drawn = shown.length;
  }
}

/** Writes what has changed. */
class Changes<T> implements View<T> {
  readonly #output: Output;
  readonly #watched: Watched<T>;
  readonly #known = new Map<string, string>();

  constructor(output: Output, watched: Watched<T>) {
    this.#output = output;
    this.#watched = watched;
  }

  show(seen: T): void {
    const entries = this.#watched.entries(seen);
    const keys = new Set(entries.map(({ key }) => key));
    for (const entry of entries) {
      const text = this.#textOf(entry);
      if (this.#known.get(entry.key) === text) continue;
      this.#known.set(entry.key, text);
      this.#write(entry);
    }
    for (const key of [...this.#known.keys()].filter((known) => !keys.has(known))) {
      this.#known.delete(key);
      const entry = this.#watched.gone(key);
      if (entry !== undefined) this.#write(entry);
    }
  }

  lost(message: string): void {
    this.#output.tell(message);
  }

  reached(message: string): void {
    this.#output.tell(message);
  }

  #textOf({ line, json }: Entry): string {
    return this.#output.isJson ? JSON.stringify(json) : line;
  }

  #write({ line, json }: Omit<Entry, "key">): void {
    if (this.#output.isJson) this.#output.json(json);
    else this.#output.lines([`${new Date().toISOString()}  ${line}`]);
  }
}
