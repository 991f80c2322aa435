import prettyBytes from "pretty-bytes";
import stringWidth from "string-width";
import { replaceUnsafe, visible } from "../client/printable.ts";

/** One line of JSON that is safe to print: the same characters become JSON escapes. */
export function jsonLine(value: unknown): string {
  return replaceUnsafe(JSON.stringify(value), (character) =>
    character
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

/** Cuts a text so that it fits into a number of columns of a terminal. */
export function cutToWidth(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let cut = "";
  let width = 0;
  for (const { segment } of graphemes.segment(text)) {
    width += stringWidth(segment);
    if (width > columns - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}

const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

export interface Column {
  readonly title: string;
  /** Whether cells are aligned to the right, as numbers are. */
  readonly right?: boolean;
  /** Whether cells may be cut if the lines do not fit into the terminal. */
  readonly shrinks?: boolean;
}

const gap = 2;
const minColumns = 8;

/**
 * Formats a table, titles first.
 *
 * @param width of the terminal; without it nothing is cut
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width?: number,
): string[] {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map(visible))];
  const widths = columns.map((_, index) =>
    lines.reduce((width, cells) => Math.max(width, stringWidth(cells[index]!)), 0),
  );
  let excess =
    width === undefined ? 0 : widths.reduce((sum, each) => sum + each, gap * (columns.length - 1)) - width;
  for (const [index, { shrinks, title }] of columns.entries()) {
    if (!shrinks || excess <= 0) continue;
    const min = Math.min(widths[index]!, Math.max(minColumns, title.length));
    const less = Math.min(excess, widths[index]! - min);
    widths[index]! -= less;
    excess -= less;
  }
  return lines.map((cells) =>
    cells
      .map((cell, index) => {
        const text = cutToWidth(cell, widths[index]!);
        const padding = " ".repeat(widths[index]! - stringWidth(text));
        return columns[index]!.right ? padding + text : text + padding;
      })
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}

const narrow = new Intl.DurationFormat("en", { style: "narrow" });

const unitSeconds = { days: 86_400, hours: 3600, minutes: 60, seconds: 1 };

/** Formats a duration with its largest unit and the next smaller one, for example `4m 58s`. */
export function duration(ms: number): string {
  const total = Math.max(0, Math.round(ms / 1000));
  const units = Object.entries(unitSeconds);
  const first = units.findIndex(([, seconds]) => total >= seconds);
  if (first < 0) return "0s";
  let rest = total;
  const shown = units.slice(first, first + 2).map(([unit, seconds]) => {
    const count = Math.floor(rest / seconds);
    rest %= seconds;
    return [unit, count];
  });
  return narrow.format(Object.fromEntries(shown));
}

/** Formats a size, for example `1.23 GiB`. */
export function bytes(count: number): string {
  return prettyBytes(Math.round(count), { binary: true });
}

/** The name of a value of a generated enumeration, or its number if this release has no name for it. */
export function valueName(values: Readonly<Record<string, number>>, value: number | undefined): string {
  return Object.keys(values).find((name) => values[name] === value) ?? String(value);
}
