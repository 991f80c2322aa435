import { Format, MultiBar, type Options, type Params, type SingleBar } from "cli-progress";
import stringWidth from "string-width";
import type { DownloadProgress, DownloadResult, FileProgress } from "../client/index.ts";
import { bytes, checksumLines, type Reporter, type Subject, summary } from "./get.ts";
import type { Output } from "./output.ts";
import { Rate } from "./rate.ts";
import { duration, fitted, visible } from "./text.ts";

/** What a bar shows. */
interface Shown {
  readonly name: string;
  readonly detail: string;
}

interface Slot {
  readonly bar: SingleBar;
  /** Name of the file that it shows. */
  file: string | undefined;
  rate: Rate;
}

/** Lines of the terminal that bars of files leave to others. */
const otherLines = 4;
const widestBar = 40;
const narrowestBar = 10;

/**
 * Shows a download on a terminal: a bar for each file that is under way, below them one for the whole, and above them, scrolling away,
 * the files that are done.
 */
export class GetBars implements Reporter {
  readonly #output: Output;
  readonly #terminal: NodeJS.WriteStream;
  readonly #parallel: number;
  readonly #done = new Set<string>();
  #view: { readonly bars: MultiBar; readonly slots: Slot[]; readonly whole: SingleBar } | undefined;
  #notice: string | undefined;
  readonly #rate = new Rate();

  constructor(output: Output, terminal: NodeJS.WriteStream, parallel: number) {
    this.#output = output;
    this.#terminal = terminal;
    this.#parallel = parallel;
  }

  begin({ name, directory }: Subject): void {
    this.#terminal.write(`Getting ${visible(name)} into ${visible(directory)}\n`);
  }

  progress(progress: DownloadProgress): void {
    const { files, bytesDone, bytesTotal, notice } = progress;
    const now = performance.now();
    this.#view ??= this.#open(progress);
    const { bars, slots, whole } = this.#view;
    for (const { name, size, state } of files) {
      if (state !== "done" || this.#done.has(name)) continue;
      this.#done.add(name);
      bars.log(`${visible(name)}  ${bytes(size)}  verified\n`);
    }
    if (notice !== this.#notice && notice !== undefined) bars.log(`${visible(notice)}\n`);
    this.#notice = notice;
    const active = files.filter(isActive);
    for (const slot of slots) if (!active.some(({ name }) => name === slot.file)) slot.file = undefined;
    for (const file of active) {
      const slot = slots.find((each) => each.file === file.name) ?? this.#take(slots, file);
      if (slot !== undefined) this.#update(slot, file, now);
    }
    for (const slot of slots.filter(({ file }) => file === undefined)) {
      // Those that are no longer needed go; others wait for the next file.
      if (files.length - this.#done.size < slots.length) {
        slots.splice(slots.indexOf(slot), 1);
        bars.remove(slot.bar);
      } else {
        slot.bar.update(0, { name: "", detail: "" });
      }
    }
    this.#rate.add(bytesDone, now);
    const detail = [`${bytes(bytesDone)} of ${bytes(bytesTotal)}`, ...pace(this.#rate, bytesTotal, now)].join(
      "  ",
    );
    whole.update(bytesDone, { name: `${this.#done.size} of ${files.length} done`, detail });
  }

  done(result: DownloadResult, elapsedMs: number): void {
    this.#close();
    this.#terminal.write(`${summary(result, elapsedMs)}\n`);
    // A terminal has been told enough.
    if (!this.#output.isTerminal) this.#output.lines(checksumLines(result));
  }

  failed(): void {
    this.#close();
  }

  #open({ files, bytesTotal }: DownloadProgress) {
    const bars = new MultiBar({
      stream: this.#terminal,
      format: line,
      barsize: widestBar,
      barCompleteChar: "=",
      barIncompleteChar: " ",
      hideCursor: true,
      clearOnComplete: true,
    });
    const room = (this.#terminal.rows || 24) - otherLines;
    const count = Math.max(1, Math.min(this.#parallel, files.length, room));
    const create = (total: number) => bars.create(total, 0, { name: "", detail: "" });
    const slots = Array.from({ length: count }, () => ({
      bar: create(1),
      file: undefined,
      rate: new Rate(),
    }));
    const whole = create(bytesTotal);
    // However the process ends, the terminal is left with a cursor.
    process.once("exit", this.#restore);
    return { bars, slots, whole };
  }

  #take(slots: readonly Slot[], { name, size, bytesDone }: FileProgress): Slot | undefined {
    const slot = slots.find(({ file }) => file === undefined);
    if (slot === undefined) return undefined;
    slot.file = name;
    slot.rate = new Rate();
    slot.bar.start(size, bytesDone, { name: visible(name), detail: "" });
    return slot;
  }

  #update(slot: Slot, { name, size, bytesDone, state }: FileProgress, now: number): void {
    slot.rate.add(bytesDone, now);
    const detail = state === "downloading" ? pace(slot.rate, size, now).join("  ") : state;
    slot.bar.update(bytesDone, { name: visible(name), detail });
  }

  readonly #restore = () => this.#close();

  #close(): void {
    const bars = this.#view?.bars;
    if (bars === undefined) return;
    this.#view = undefined;
    process.off("exit", this.#restore);
    // What was logged last is written with the bars.
    bars.update();
    bars.stop();
  }
}

function isActive({ state }: FileProgress): boolean {
  return state === "preparing" || state === "downloading" || state === "verifying";
}

/** Rate and time left, as far as they are known. */
function pace(rate: Rate, total: number, now: number): string[] {
  const perSecond = rate.perSecond(now);
  if (perSecond === undefined) return [];
  const remainingMs = rate.remainingMs(total, now);
  return [`${bytes(perSecond)}/s`, ...(remainingMs === undefined ? [] : [`ETA ${duration(remainingMs)}`])];
}

/** A line no wider than the terminal: on a narrow one the bar gets shorter, then goes. */
function line(
  options: Options,
  params: Params & { readonly maxWidth: number },
  { name, detail }: Shown,
): string {
  if (name === "") return "";
  const columns = params.maxWidth - 1;
  const percent = `${Math.floor(params.progress * 100)}%`.padStart(4);
  const room = columns - percent.length - detailWidth - 6;
  const nameWidth = Math.max(8, Math.min(32, Math.floor(room / 2)));
  const shownName = fitted(name, nameWidth);
  const label = shownName + " ".repeat(nameWidth - stringWidth(shownName));
  const barsize = Math.min(widestBar, room - nameWidth);
  const bar =
    barsize < narrowestBar ? "" : ` [${Format.BarFormat(params.progress, { ...options, barsize })}]`;
  return fitted(`${label}${bar} ${percent}  ${detail}`, columns);
}

/** Of what stands behind the bar, mostly: `1.23 GiB of 2.34 GiB  123 MiB/s  ETA 1m 23s`. */
const detailWidth = 42;
