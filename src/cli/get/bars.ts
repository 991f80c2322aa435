import cliProgress, { type MultiBar, type Options, type Params, type SingleBar } from "cli-progress";
import stringWidth from "string-width";
import type { DownloadProgress, DownloadResult, FileProgress, FileState } from "../../client/index.ts";
import { visible } from "../../client/printable.ts";
import type { Output } from "../output.ts";
import { bytes, cutToWidth, duration } from "../text.ts";
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

/** The texts of a bar. */
interface BarText {
  readonly name: string;
  /** Left out on a narrow terminal. */
  readonly amount?: string;
  /** Called each time that the bar is drawn, because a rate falls while no bytes arrive. */
  readonly detail: () => string;
}

/** Erases the rest of a bar that was drawn on this line. */
const lineEnd = "\u001b[K\n";

const noText: BarText = { name: "", detail: () => "" };

interface Slot {
  readonly bar: SingleBar;
  /** Name of the file that the bar shows. */
  file: string | undefined;
  rate: Rate;
}

interface View {
  readonly bars: MultiBar;
  readonly slots: Slot[];
  readonly whole: SingleBar;
}

/** Lines of the terminal that are kept free of bars for files. */
const otherLines = 4;
const maxBarWidth = 40;
const minBarWidth = 10;

/**
 * Shows a download on a terminal: a bar for each file in progress, below them a bar for the whole download. Files that are done scroll
 * away above.
 */
export class GetBars implements Reporter {
  readonly #output: Output;
  readonly #terminal: NodeJS.WriteStream;
  readonly #parallel: number;
  readonly #done = new Set<string>();
  #view: View | undefined;
  readonly #notices = new Notices();
  readonly #rate = new Rate();

  constructor(output: Output, terminal: NodeJS.WriteStream, parallel: number) {
    this.#output = output;
    this.#terminal = terminal;
    this.#parallel = parallel;
  }

  waiting(notice: string): void {
    this.#writeNotice({ notice, bytesDone: 0 }, (text) => this.#terminal.write(text));
  }

  begin({ name, directory }: Subject): void {
    this.#terminal.write(`Getting ${visible(name)} into ${visible(directory)}\n`);
  }

  progress(progress: DownloadProgress): void {
    // There is nothing to draw until the server has listed the files.
    if (progress.files.length === 0) {
      this.#writeNotice(progress, (text) => this.#terminal.write(text));
      return;
    }
    const now = performance.now();
    this.#view ??= this.#open(progress);
    const { bars, whole } = this.#view;
    const { files, bytesDone, bytesTotal } = progress;
    for (const { name, size, state } of files) {
      // A file may have to be started over.
      if (state !== "done") this.#done.delete(name);
      if (state !== "done" || this.#done.has(name)) continue;
      this.#done.add(name);
      bars.log(`${visible(name)}  ${bytes(size)}  verified${lineEnd}`);
    }
    this.#writeNotice(progress, (text) => bars.log(text));
    this.#drawFiles(this.#view, files, now);
    this.#rate.add(bytesDone, now);
    whole.setTotal(bytesTotal);
    whole.update(bytesDone, {
      name: `${this.#done.size} of ${files.length} done`,
      amount: `${bytes(bytesDone)} of ${bytes(bytesTotal)}  `,
      detail: () => (isDownloading(progress) ? pace(this.#rate, bytesTotal) : ""),
    } satisfies BarText);
  }

  #writeNotice(
    progress: Pick<DownloadProgress, "notice" | "bytesDone">,
    write: (text: string) => void,
  ): void {
    const notice = this.#notices.fresh(progress);
    if (notice !== undefined) write(`${visible(notice)}${lineEnd}`);
  }

  #drawFiles({ bars, slots }: View, files: readonly FileProgress[], now: number): void {
    const visibleFiles = files
      .filter(({ state }) => ranks[state] > 0)
      .sort((a, b) => ranks[b.state] - ranks[a.state])
      .slice(0, slots.length);
    for (const slot of slots) if (!visibleFiles.some(({ name }) => name === slot.file)) slot.file = undefined;
    for (const file of visibleFiles) {
      const slot = slots.find((each) => each.file === file.name) ?? takeSlot(slots, file);
      if (slot !== undefined) updateSlot(slot, file, now);
    }
    for (const slot of slots.filter(({ file }) => file === undefined)) {
      // A bar that no file will need is removed; the others wait for the next file.
      if (files.length - this.#done.size < slots.length) {
        slots.splice(slots.indexOf(slot), 1);
        bars.remove(slot.bar);
      } else {
        slot.bar.update(0, noText);
      }
    }
  }

  done(result: DownloadResult): void {
    this.#close();
    // The terminal has shown the summary; only another reader needs the checksums.
    if (!this.#output.isTerminal) this.#output.lines(checksumLines(result));
  }

  failed(): void {
    this.#close();
  }

  finish(total: Total, elapsedMs: number): void {
    this.#terminal.write(`${summary(total, elapsedMs)}\n`);
  }

  #open({ files, bytesTotal }: DownloadProgress): View {
    const bars = new cliProgress.MultiBar({
      stream: this.#terminal,
      format: line,
      barsize: maxBarWidth,
      barCompleteChar: "=",
      barIncompleteChar: " ",
      hideCursor: true,
      clearOnComplete: true,
      // Otherwise a bar that has moved up stays undrawn until its text changes.
      forceRedraw: true,
    });
    const room = (this.#terminal.rows || 24) - otherLines;
    const count = Math.max(1, Math.min(this.#parallel, files.length, room));
    const create = (total: number) => bars.create(total, 0, noText);
    const slots = Array.from({ length: count }, () => ({
      bar: create(1),
      file: undefined,
      rate: new Rate(),
    }));
    const whole = create(bytesTotal);
    // The terminal gets its cursor back however the process ends.
    process.once("exit", this.#restore);
    return { bars, slots, whole };
  }

  readonly #restore = () => this.#close();

  #close(): void {
    const bars = this.#view?.bars;
    if (bars === undefined) return;
    this.#view = undefined;
    process.off("exit", this.#restore);
    // Writes the lines that were logged last.
    bars.update();
    bars.stop();
  }
}

/** Files with the highest ranks are shown if there is no room for all; 0 means that a file is never shown. */
const ranks: Record<FileState, number> = { waiting: 0, done: 0, preparing: 1, verifying: 2, downloading: 2 };

function takeSlot(slots: readonly Slot[], { name, size, bytesDone }: FileProgress): Slot | undefined {
  const slot = slots.find(({ file }) => file === undefined);
  if (slot === undefined) return undefined;
  slot.file = name;
  slot.rate = new Rate();
  slot.bar.start(size, bytesDone, { name: visible(name), detail: () => "" } satisfies BarText);
  return slot;
}

function updateSlot(slot: Slot, { name, size, bytesDone, state }: FileProgress, now: number): void {
  slot.rate.add(bytesDone, now);
  const { rate } = slot;
  const detail = () => (state === "downloading" ? pace(rate, size) : state);
  slot.bar.update(bytesDone, { name: visible(name), detail } satisfies BarText);
}

/** Rate and time left, as far as they can be estimated. */
function pace(rate: Rate, total: number): string {
  const now = performance.now();
  const perSecond = rate.perSecond(now);
  if (perSecond === undefined) return "";
  const remainingMs = rate.remainingMs(total, now);
  const left = remainingMs === undefined ? "" : `  ETA ${duration(remainingMs)}`;
  return `${bytes(perSecond)}/s${left}`;
}

/** A line no wider than the terminal: on a narrow one the amount goes, the bar gets shorter, then goes, too. */
function line(
  options: Options,
  params: Params & { readonly maxWidth: number },
  { name, amount = "", detail }: BarText,
): string {
  if (name === "") return "";
  const columns = params.maxWidth - 1;
  const isWide = columns >= wideColumns;
  const percent = `${Math.floor(params.progress * 100)}%`.padStart(4);
  const room = columns - percent.length - paceWidth - (isWide ? amountWidth : 0) - 3;
  const maxNameWidth = room / 2 < minBarWidth ? room : Math.min(32, room / 2);
  const nameWidth = Math.max(8, Math.floor(maxNameWidth));
  const shownName = cutToWidth(name, nameWidth);
  const label = shownName + " ".repeat(nameWidth - stringWidth(shownName));
  const barsize = Math.min(maxBarWidth, room - nameWidth - 3);
  const complete = { ...options, barsize };
  const bar = barsize < minBarWidth ? "" : ` [${cliProgress.Format.BarFormat(params.progress, complete)}]`;
  return cutToWidth(`${label}${bar} ${percent}  ${isWide ? amount : ""}${detail()}`, columns);
}

const wideColumns = 79;
/** Of `1.23 GiB of 2.34 GiB  `. */
const amountWidth = 22;
/** Of `123 MiB/s  ETA 1m 23s`. */
const paceWidth = 22;
