import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { GetBars } from "../../src/cli/get/bars.ts";
import { GetEvents } from "../../src/cli/get/events.ts";
import { GetLines } from "../../src/cli/get/lines.ts";
import { checksumLines, type Reporter, summary } from "../../src/cli/get/reporter.ts";
import { Output } from "../../src/cli/output.ts";
import {
  DownloadError,
  type DownloadResult,
  type FileProgress,
  type FileState,
} from "../../src/client/index.ts";

/** A stream that keeps what is written. */
function stream(columns?: number) {
  const sink = new PassThrough();
  let text = "";
  sink.on("data", (chunk) => {
    text += chunk;
  });
  const terminal = columns === undefined ? {} : { isTTY: true, columns, rows: 24 };
  return Object.assign(sink as unknown as NodeJS.WriteStream, terminal, { text: () => text });
}

const subject = { itemId: "photon-id", name: "demo/photon", directory: "here" };

function file(name: string, state: FileState, bytesDone: number, size = 1_048_576): FileProgress {
  return { name, state, bytesDone, size };
}

const filesOf = (names: readonly string[], state: FileState, bytesDone: number) =>
  names.map((name) => file(name, state, bytesDone));

function progress(reporter: Reporter, files: readonly FileProgress[], notice?: string): void {
  const bytesDone = files.reduce((sum, each) => sum + each.bytesDone, 0);
  const bytesTotal = files.reduce((sum, each) => sum + each.size, 0);
  const percent = (100 * bytesDone) / bytesTotal;
  reporter.progress({ percent, bytesDone, bytesTotal, files, ...(notice !== undefined && { notice }) });
}

const result: DownloadResult = {
  itemId: "photon-id",
  contentVersion: "v1",
  bytesTotal: 3_145_728,
  bytesFetched: 2_097_152,
  files: [
    { name: "a.vmdk", path: "/there/a.vmdk", size: 2_097_152, sha256: "aa", outcome: "downloaded" },
    { name: "b.vmdk", path: "/there/b.vmdk", size: 1_048_576, sha256: "bb", outcome: "present" },
  ],
};

const esc = "\u001b";
/** Control sequences, line ends, and text between them. */
const sequences = new RegExp(`${esc}\\[(\\??\\d*)([A-Za-z])|\\r?\\n|${esc}.|[^${esc}\\n]+`, "g");

/** What a terminal shows, as far as the bars move its cursor. */
class Screen {
  readonly #rows: string[] = [""];
  #row = 0;
  #column = 0;

  get lines(): string[] {
    return this.#rows.map((row) => row.trimEnd()).filter((row) => row !== "");
  }

  write(text: string): void {
    for (const [part, count, command] of text.matchAll(sequences)) {
      if (part.endsWith("\n")) this.#move(this.#row + 1, 0);
      else if (command === "A") this.#move(this.#row - Number(count || 1), this.#column);
      else if (command === "G") this.#column = Number(count || 1) - 1;
      else if (command === "J") this.#rows.splice(this.#row + 1);
      if (command === "K" || command === "J")
        this.#put(count === "2" ? "" : this.#line.slice(0, this.#column));
      if (part.startsWith(esc) || part.endsWith("\n")) continue;
      this.#put(
        this.#line.slice(0, this.#column).padEnd(this.#column) +
          part +
          this.#line.slice(this.#column + part.length),
      );
      this.#column += part.length;
    }
  }

  get #line(): string {
    return this.#rows[this.#row]!;
  }

  #put(line: string): void {
    this.#rows[this.#row] = line;
  }

  #move(row: number, column: number): void {
    [this.#row, this.#column] = [Math.max(0, row), column];
    while (this.#rows.length <= this.#row) this.#rows.push("");
  }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test("the summary says what was present and what was fetched", () => {
  expect(summary(result, 2000)).toBe("2 files of 3 MiB, checksums verified; 2 MiB fetched in 2s, 1 MiB/s");
  expect(summary({ ...result, bytesFetched: 0 }, 10)).toBe(
    "2 files of 3 MiB, checksums verified; nothing had to be fetched",
  );
  // No rate of a few bytes, and no time of 0 seconds.
  expect(summary({ ...result, bytesFetched: 8_192 }, 330)).toMatch(/; 8 KiB fetched$/);
  expect(summary({ ...result, bytesFetched: 8_192 }, 3_300)).toMatch(/; 8 KiB fetched$/);
  expect(summary(result, 500)).toMatch(/; 2 MiB fetched in less than a second, 4 MiB\/s$/);
  expect(checksumLines(result)[0]).toMatch(/^aa {2}(\.\.\/)*there\/a\.vmdk$/);
});

describe("bars", () => {
  /** Every line that was written to the terminal, in order. */
  function drawn(text: string): string[] {
    const lines = text.replaceAll("\u001b[1G", "\n").split("\n").map(stripVTControlCharacters);
    return lines.filter((line) => line.trim() !== "");
  }

  test("show no remaining time while nothing is being downloaded", async () => {
    const [out, err] = [stream(), stream(100)];
    const bars: Reporter = new GetBars(new Output({ out, err }), err, 2);
    bars.begin(subject);
    progress(bars, [file("a.ovf", "downloading", 100), file("b.vmdk", "preparing", 0)]);
    await vi.advanceTimersByTimeAsync(1000);
    progress(bars, [file("a.ovf", "done", 200), file("b.vmdk", "preparing", 0)]);
    await vi.advanceTimersByTimeAsync(200);
    expect(drawn(err.text()).findLast((line) => line.startsWith("1 of 2 done"))).toMatch(/MiB\s*$/);
    bars.done(result, 2000);
  });

  test("show the files in progress and the whole; done files and notices scroll away above", async () => {
    const [out, err] = [stream(), stream(100)];
    const bars: Reporter = new GetBars(new Output({ out, err }), err, 2);
    bars.begin(subject);
    progress(bars, [
      file("a.vmdk", "downloading", 0),
      file("b.vmdk", "downloading", 0),
      file("c.vmdk", "waiting", 0),
    ]);
    await vi.advanceTimersByTimeAsync(1000);
    progress(
      bars,
      [
        file("a.vmdk", "done", 1_048_576),
        file("b.vmdk", "downloading", 524_288),
        file("c.vmdk", "preparing", 0),
      ],
      "the server can't be reached",
    );
    await vi.advanceTimersByTimeAsync(200);
    const lines = drawn(err.text());
    expect(lines).toContain("Getting demo/photon into here");
    expect(lines).toContain("a.vmdk  1 MiB  verified");
    expect(lines).toContain("the server can't be reached");
    expect(lines.find((line) => line.startsWith("b.vmdk") && line.includes("50%"))).toMatch(
      /^b\.vmdk +\[=+ +\] {2}50% {2}465 KiB\/s {2}ETA 1s$/,
    );
    expect(lines.find((line) => line.startsWith("c.vmdk"))).toMatch(/^c\.vmdk +\[ +\] {3}0% {2}preparing$/);
    expect(lines.find((line) => line.startsWith("1 of 3 done"))).toMatch(
      /^1 of 3 done +\[=+ +\] {2}50% {2}1\.5 MiB of 3 MiB {2}[\d.]+ MiB\/s {2}ETA 1s$/,
    );
    bars.done(result, 2000);
    bars.finish(result, 2000);
    expect(drawn(err.text()).at(-1)).toBe(summary(result, 2000));
    // Not a terminal: it gets the checksums.
    expect(out.text()).toMatch(/^aa {2}.*\nbb {2}.*\n$/);
  });

  test.each([20, 40, 60, 80, 200])("fit a terminal of %i columns with any names", async (columns) => {
    const err = stream(columns);
    const bars: Reporter = new GetBars(new Output({ out: stream(columns), err }), err, 4);
    const names = ["x".repeat(300), "日本語".repeat(40), "\u001b[2J\r\n", "e\u0301".repeat(50)];
    progress(bars, filesOf(names, "downloading", 0));
    await vi.advanceTimersByTimeAsync(2000);
    progress(bars, filesOf(names, "downloading", 700_000));
    await vi.advanceTimersByTimeAsync(200);
    bars.failed(new Error("it ends"));
    const { default: stringWidth } = await import("string-width");
    const lines = drawn(err.text());
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) expect(stringWidth(line.replace("\r", ""))).toBeLessThan(columns);
    // The cursor is there again, and lines wrap.
    expect(err.text().lastIndexOf("\u001b[?25h")).toBeGreaterThan(err.text().lastIndexOf("\u001b[?25l"));
    expect(err.text().lastIndexOf("\u001b[?7h")).toBeGreaterThan(err.text().lastIndexOf("\u001b[?7l"));
  });

  test("are erased where several lines replace them at once", async () => {
    const err = stream(80);
    const bars: Reporter = new GetBars(new Output({ out: stream(80), err }), err, 4);
    const names = ["a", "b", "c"];
    progress(bars, filesOf(names, "downloading", 0));
    await vi.advanceTimersByTimeAsync(200);
    progress(bars, filesOf(names, "done", 1_048_576), "it is slow");
    bars.failed(new Error("it ends"));
    for (const text of ["a  1 MiB  verified", "b  1 MiB  verified", "it is slow"]) {
      expect(err.text()).toContain(`${text}\u001b[K\n`);
    }
  });

  test("show a notice immediately as long as there are no files", () => {
    const err = stream(80);
    const bars: Reporter = new GetBars(new Output({ out: stream(80), err }), err, 4);
    bars.progress({ percent: 0, bytesDone: 0, bytesTotal: 0, files: [], notice: "waiting for the server" });
    bars.progress({ percent: 0, bytesDone: 0, bytesTotal: 0, files: [], notice: "waiting for the server" });
    expect(drawn(err.text())).toEqual(["waiting for the server"]);
    bars.failed(new Error("it ends"));
  });

  test("of many files fill the terminal, files that are being downloaded first", async () => {
    const err = stream(80);
    const bars: Reporter = new GetBars(new Output({ out: stream(80), err }), err, 64);
    const files = Array.from({ length: 100 }, (_, index) =>
      file(`f${index}`, index < 50 ? "preparing" : "downloading", 1),
    );
    progress(bars, files);
    await vi.advanceTimersByTimeAsync(200);
    const shown = new Set(drawn(err.text()).flatMap((line) => /^f\d+/.exec(line)?.[0] ?? []));
    expect(shown.size).toBe(20);
    expect([...shown].every((name) => Number(name.slice(1)) >= 50)).toBe(true);
    bars.failed(new Error("it ends"));
  });

  test("stand on the line of their file when another one has been removed", async () => {
    const screen = new Screen();
    const err = stream(100);
    err.on("data", (chunk: Buffer) => screen.write(chunk.toString()));
    const bars: Reporter = new GetBars(new Output({ out: stream(100), err }), err, 4);
    const files = (states: readonly FileState[]) =>
      ["big.ovf", "disk.img", "tools.iso"].map((name, index) =>
        file(name, states[index]!, states[index] === "done" ? 1_048_576 : 0),
      );
    progress(bars, files(["preparing", "preparing", "preparing"]));
    await vi.advanceTimersByTimeAsync(200);
    progress(bars, files(["done", "preparing", "preparing"]));
    await vi.advanceTimersByTimeAsync(200);
    progress(bars, files(["done", "preparing", "done"]));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(screen.lines).toEqual([
      "big.ovf  1 MiB  verified",
      "tools.iso  1 MiB  verified",
      expect.stringMatching(/^disk\.img .*preparing$/),
      expect.stringMatching(/^2 of 3 done /),
    ]);
    bars.failed(new Error("it ends"));
  });

  test("an empty file is whole", async () => {
    const err = stream(80);
    const bars: Reporter = new GetBars(new Output({ out: stream(80), err }), err, 1);
    progress(bars, [file("empty", "verifying", 0, 0), file("a", "waiting", 0)]);
    await vi.advanceTimersByTimeAsync(200);
    expect(drawn(err.text()).find((line) => line.startsWith("empty"))).toMatch(/100% {2}verifying/);
    bars.failed(new Error("it ends"));
  });
});

describe("lines", () => {
  test("show no remaining time while nothing is being downloaded", async () => {
    const [out, err] = [stream(), stream()];
    const lines = new GetLines(new Output({ out, err }));
    progress(lines, [file("a.ovf", "downloading", 50), file("b.vmdk", "preparing", 0)]);
    await vi.advanceTimersByTimeAsync(6000);
    progress(lines, [file("a.ovf", "done", 100), file("b.vmdk", "preparing", 0)]);
    expect(err.text()).toMatch(/^downlease: 0%, 100 B of [\d.]+ MiB$/m);
  });

  test("show each state of a file, each notice once, and from time to time the progress of the whole", async () => {
    const [out, err] = [stream(), stream()];
    const lines = new GetLines(new Output({ out, err }));
    lines.begin(subject);
    progress(lines, [file("a.vmdk", "waiting", 0), file("b.vmdk", "waiting", 0)]);
    progress(lines, [file("a.vmdk", "downloading", 0), file("b.vmdk", "waiting", 0)]);
    for (let step = 1; step <= 8; step++) {
      await vi.advanceTimersByTimeAsync(1000);
      progress(
        lines,
        [file("a.vmdk", "downloading", step * 100_000), file("b.vmdk", "waiting", 0)],
        "it is slow",
      );
    }
    progress(lines, [file("a.vmdk", "done", 1_048_576), file("b.vmdk", "done", 1_048_576)]);
    lines.done(result);
    lines.finish(result, 2000);
    expect(err.text().split("\n")).toEqual([
      "downlease: getting demo/photon into here",
      "downlease: a.vmdk: downloading",
      "downlease: it is slow",
      expect.stringMatching(/^downlease: 23%, 488 KiB of 2 MiB, 97\.7 KiB\/s, 16s left$/),
      "downlease: a.vmdk: done, 1 MiB",
      "downlease: b.vmdk: done, 1 MiB",
      "downlease: 2 files of 3 MiB, checksums verified; 2 MiB fetched in 2s, 1 MiB/s",
      "",
    ]);
    expect(out.text()).toMatch(/^aa {2}.*\nbb {2}.*\n$/);
  });
});

test("a repeated notice is shown once, until there is progress", () => {
  const err = stream();
  const lines = new GetLines(new Output({ out: stream(), err }));
  const at = (bytesDone: number, notice?: string) =>
    progress(lines, [file("a", "downloading", bytesDone)], notice);
  at(0);
  at(0, "x");
  at(0, "y");
  at(0);
  at(0, "x");
  at(10);
  at(10, "x");
  expect(err.text().match(/^downlease: [xy]$/gm)).toEqual(["downlease: x", "downlease: y", "downlease: x"]);
});

describe("events", () => {
  const eventsOf = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));

  test("are one object a line, from the item to the result", async () => {
    const out = stream();
    const events = new GetEvents(new Output({ json: true, out, err: stream() }), "http://host");
    events.begin(subject);
    progress(events, [file("a.vmdk", "waiting", 0)]);
    progress(events, [file("a.vmdk", "downloading", 1000)]);
    await vi.advanceTimersByTimeAsync(1000);
    progress(events, [file("a.vmdk", "downloading", 524_288)], "it is slow");
    progress(events, [file("a.vmdk", "done", 1_048_576)]);
    events.done(result, 2000.4);
    const size = 1_048_576;
    expect(eventsOf(out.text())).toEqual([
      { event: "item", item_id: "photon-id", name: "demo/photon", directory: "here" },
      { event: "file", name: "a.vmdk", state: "waiting", size, bytes_done: 0 },
      { event: "progress", percent: 0, bytes_done: 0, bytes_total: size },
      { event: "file", name: "a.vmdk", state: "downloading", size, bytes_done: 1000 },
      { event: "notice", message: "it is slow" },
      { event: "progress", percent: 50, bytes_done: 524_288, bytes_total: size },
      { event: "file", name: "a.vmdk", state: "done", size, bytes_done: size },
      { event: "progress", percent: 100, bytes_done: size, bytes_total: size },
      {
        event: "result",
        item_id: "photon-id",
        content_version: "v1",
        bytes_total: 3_145_728,
        bytes_fetched: 2_097_152,
        elapsed_ms: 2000,
        files: result.files,
      },
    ]);
  });

  test("end with the error and its exit code", () => {
    const out = stream();
    const events = new GetEvents(new Output({ json: true, out, err: stream() }), "http://host");
    events.failed(new DownloadError("checksum", "a.vmdk is not what the server has", { file: "a.vmdk" }));
    events.failed(new TypeError("a bug"));
    expect(eventsOf(out.text())).toEqual([
      {
        event: "error",
        reason: "corrupt",
        exit_code: 6,
        message: "a.vmdk is not what the server has.",
        file: "a.vmdk",
      },
    ]);
  });
});
