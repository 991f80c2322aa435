import { setTimeout as delay } from "node:timers/promises";
import { visible } from "../../client/printable.ts";
import { explain, isPassing } from "../failure.ts";
import type { Output } from "../output.ts";
import type { Task } from "../run.ts";
import { cutToWidth } from "../text.ts";

/** Something that changes. */
export interface Watched<T> {
  /** The value, and what it is after each change. Called again when it throws, or ends, before the command does. */
  values(): AsyncIterable<T>;
  /** The lines that a terminal shows. */
  frame(value: T): readonly string[];
  /** The parts that other outputs get, each when it is new or has changed. */
  entries(value: T): readonly WatchEntry[];
  /** The line for an entry that has disappeared, if it gets one. */
  gone(key: string): Omit<WatchEntry, "key"> | undefined;
  /** Whether nothing can change any more. */
  isOver?(value: T): boolean;
}

export interface WatchEntry {
  readonly key: string;
  readonly line: string;
  readonly json: unknown;
}

/** Shows a value and its changes until it is final or the command is interrupted. Waits for a server that does not answer. */
export async function watch<T>(
  { output, call, server, flags }: Task<{ readonly interval: number }>,
  watched: Watched<T>,
): Promise<void> {
  const view = output.isDrawable ? new Screen(output, watched) : new Changes(output, watched);
  let isReached = true;
  while (!call.signal.aborted) {
    try {
      for await (const value of watched.values()) {
        if (!isReached) view.reached(`${server.url} is reached again`);
        isReached = true;
        view.show(value);
        if (watched.isOver?.(value)) return;
      }
    } catch (error) {
      if (call.signal.aborted) return;
      if (!isPassing(error)) throw error;
      if (isReached) view.lost(`trying again: ${explain(error, server.url)!.message}`);
      isReached = false;
    }
    await delay(flags.interval * 1000, undefined, { signal: call.signal }).catch(() => {});
  }
}

/** Values that are read at an interval. */
export async function* polled<T>(
  { call: { signal }, flags }: Pick<Task<{ readonly interval: number }>, "call" | "flags">,
  read: () => Promise<T>,
): AsyncGenerator<T> {
  while (!signal.aborted) {
    yield await read();
    await delay(flags.interval * 1000, undefined, { signal }).catch(() => {});
  }
}

interface View<T> {
  show(value: T): void;
  lost(message: string): void;
  reached(message: string): void;
}

/** Draws over its last drawing. */
class Screen<T> implements View<T> {
  readonly #output: Output;
  readonly #watched: Watched<T>;
  #lines: readonly string[] = [];
  #drawn = 0;

  constructor(output: Output, watched: Watched<T>) {
    this.#output = output;
    this.#watched = watched;
  }

  show(value: T): void {
    this.#lines = this.#watched.frame(value);
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
    this.#output.raw(`${up}\r\x1b[J${shown.map((line) => `${cutToWidth(visible(line), width)}\n`).join("")}`);
    this.#drawn = shown.length;
  }
}

/** Writes changes, one a line. */
class Changes<T> implements View<T> {
  readonly #output: Output;
  readonly #watched: Watched<T>;
  readonly #texts = new Map<string, string>();

  constructor(output: Output, watched: Watched<T>) {
    this.#output = output;
    this.#watched = watched;
  }

  show(value: T): void {
    const entries = this.#watched.entries(value);
    const keys = new Set(entries.map(({ key }) => key));
    for (const entry of entries) {
      const text = this.#textOf(entry);
      if (this.#texts.get(entry.key) === text) continue;
      this.#texts.set(entry.key, text);
      this.#write(entry);
    }
    for (const key of [...this.#texts.keys()].filter((key) => !keys.has(key))) {
      this.#texts.delete(key);
      const entry = this.#watched.gone(key);
      if (entry !== undefined) this.#write(entry);
    }
  }

  lost(message: string): void {
    this.#output.note(message);
  }

  reached(message: string): void {
    this.#output.note(message);
  }

  #textOf({ line, json }: WatchEntry): string {
    return this.#output.isJson ? JSON.stringify(json) : line;
  }

  #write({ line, json }: Omit<WatchEntry, "key">): void {
    if (this.#output.isJson) this.#output.json(json);
    else this.#output.lines([`${new Date().toISOString()}  ${line}`]);
  }
}
