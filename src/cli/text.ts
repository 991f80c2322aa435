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
  /** The column is left out of a terminal that is too narrow, those with the highest numbers first. */
  readonly drop?: number;
}

const gap = 2;
const minColumns = 8;

/**
 * Formats a table, titles first.
 *
 * @param width of the terminal, to which cells are cut, and columns left out; without it nothing is
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width?: number,
): string[] {
  const lines = [columns.map(({ title }) => title), ...rows.map((row) => row.map(visible))];
  const fullWidths = columns.map((_, index) =>
    lines.reduce((max, cells) => Math.max(max, stringWidth(cells[index]!)), 0),
  );
  const shown: ShownColumn[] = columns.map((column, index) => ({ column, index, width: fullWidths[index]! }));
  const droppable = shown
    .filter(({ column }) => column.drop !== undefined)
    .sort((a, b) => a.column.drop! - b.column.drop!);
  if (width !== undefined) {
    while (minWidth(shown) > width && droppable.length > 0) shown.splice(shown.indexOf(droppable.pop()!), 1);
    shrink(shown, width);
  }
  return lines.map((cells) =>
    shown
      .map((each) => {
        const text = cutToWidth(cells[each.index]!, each.width);
        const padding = " ".repeat(each.width - stringWidth(text));
        return each.column.right ? padding + text : text + padding;
      })
      .join(" ".repeat(gap))
      .trimEnd(),
  );
}

interface ShownColumn {
  readonly column: Column;
  readonly index: number;
  width: number;
}

function minWidth(shown: readonly ShownColumn[]): number {
  return shown.reduce((sum, each) => sum + minColumnWidth(each), gap * (shown.length - 1));
}

function minColumnWidth({ column, width }: ShownColumn): number {
  return column.shrinks ? Math.min(width, Math.max(minColumns, column.title.length)) : width;
}

function shrink(shown: readonly ShownColumn[], width: number): void {
  let excess = shown.reduce((sum, each) => sum + each.width, gap * (shown.length - 1)) - width;
  for (const each of shown) {
    const less = Math.max(0, Math.min(excess, each.width - minColumnWidth(each)));
    each.width -= less;
    excess -= less;
  }
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
