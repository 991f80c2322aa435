/** A bar chart as SVG, for light and dark backgrounds. */

export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** Drawn in the accent colour. */
  readonly isOurs: boolean;
}

export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

export interface Plot {
  readonly title: string;
  readonly subtitle: string;
  readonly groups: readonly BarGroup[];
}

const width = 860;
const margin = 20;
const labelWidth = 270;
const valueWidth = 70;
const headHeight = 72;
const groupHead = 34;
const rowHeight = 24;
const barHeight = 14;
const axisHeight = 34;

const style = `
    .page { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
    .title { font-size: 16px; font-weight: 600 } .group { font-weight: 600 } .small { font-size: 12px; fill: #59636e }
    .grid { stroke: #d1d9e0 } .peer { fill: #9aa4af } .ours { fill: #0969da } .whisker { stroke: #1f2328; fill: none }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } text { fill: #f0f6fc } .small { fill: #9198a1 }
      .grid { stroke: #3d444d } .peer { fill: #656c76 } .ours { fill: #4493f8 } .whisker { stroke: #f0f6fc }
    }`;

export function barChart({ title, subtitle, groups }: Plot): string {
  const left = margin + labelWidth;
  const right = width - margin - valueWidth;
  const step = niceStep(Math.max(...groups.flatMap(({ bars }) => bars.map(({ max }) => max))));
  const ticks = ticksUpTo(Math.max(...groups.flatMap(({ bars }) => bars.map(({ max }) => max))), step);
  const x = (value: number) => round(left + ((right - left) * value) / ticks.at(-1)!);

  const parts: string[] = [];
  let y = headHeight;
  for (const { title: heading, bars } of groups) {
    y += groupHead;
    parts.push(text(margin, y - 10, heading, "group"));
    for (const bar of bars) {
      const top = y + (rowHeight - barHeight) / 2;
      const middle = y + rowHeight / 2;
      const [from, to] = [x(bar.min), x(bar.max)];
      parts.push(
        text(left - 8, middle + 4, bar.label, "", "end"),
        `<rect class="${bar.isOurs ? "ours" : "peer"}" x="${left}" y="${top}" width="${round(x(bar.value) - left)}" height="${barHeight}" rx="2"/>`,
        `<path class="whisker" d="M${from} ${middle}H${to}M${from} ${middle - 4}v8M${to} ${middle - 4}v8"/>`,
        text(to + 8, middle + 4, numberText(bar.value)),
      );
      y += rowHeight;
    }
  }
  const grid = ticks.flatMap((tick) => [
    `<path class="grid" d="M${x(tick)} ${headHeight + 6}V${y + 4}"/>`,
    text(x(tick), y + 20, numberText(tick), "small", "middle"),
  ]);
  const height = y + axisHeight;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">
  <style>${style}
  </style>
  <rect class="page" width="${width}" height="${height}" rx="6"/>
  ${[text(margin, 32, title, "title"), text(margin, 54, subtitle, "small"), ...grid, ...parts].join("\n  ")}
</svg>
`;
}

/** 1, 2 or 5 times a power of ten, so that three to seven steps reach `max`. */
export function niceStep(max: number): number {
  const rough = max / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough)!;
  return factor * power;
}

function ticksUpTo(max: number, step: number): number[] {
  return Array.from({ length: Math.ceil(max / step) + 1 }, (_, index) => index * step);
}

function text(x: number, y: number, content: string, className = "", anchor = "start"): string {
  const attributes = `${className && ` class="${className}"`}${anchor === "start" ? "" : ` text-anchor="${anchor}"`}`;
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escapeXml(content)}</text>`;
}

function numberText(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeXml(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
