import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { serviceNow } from "../shell/service-clock.ts";
import { type Sample, spanSeconds } from "./samples.ts";

export interface Line {
  readonly title: string;
  /** Name of a custom property of the style sheet, for example `--accent`. */
  readonly color: string;
  value(sample: Sample): number;
}

const height = 180;

/** Readings of the last 15 minutes as lines. What it shows stands as text beside it, for those who can't see it. */
export function Plot({
  title,
  samples,
  lines,
  format,
  scale = 1,
}: {
  readonly title: string;
  readonly samples: readonly Sample[];
  readonly lines: readonly Line[];
  /** What the axis reaches at least. */
  readonly scale?: number;
  format(value: number): string;
}) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const shown = useRef(samples);
  shown.current = samples;
  const last = samples.at(-1);

  useEffect(() => {
    const element = host.current!;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(
        optionsOf(element, lines, format, scale),
        dataOf(shown.current, lines),
        element,
      );
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height }));
    resized.observe(element);
    // Colors of a canvas don't follow the style sheet by themselves.
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    dark.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      theme.disconnect();
      dark.removeEventListener("change", draw);
      plot.current?.destroy();
    };
  }, [lines, format, scale]);

  useEffect(() => {
    plot.current?.setData(dataOf(samples, lines));
  }, [samples, lines]);

  return (
    <figure className="plot">
      <figcaption>
        {title}
        {last !== undefined &&
          lines.map(({ title: name, value }) => (
            <span key={name} className="fine">
              {" "}
              {name} {format(value(last))}
            </span>
          ))}
      </figcaption>
      <div ref={host} aria-hidden="true" />
    </figure>
  );
}

const inMinutes = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** @param time seconds since the epoch */
function formatTick(time: number): string {
  return inMinutes.format(time * 1000);
}

function dataOf(samples: readonly Sample[], lines: readonly Line[]): uPlot.AlignedData {
  return [samples.map(({ at }) => at), ...lines.map(({ value }) => samples.map(value))];
}

function optionsOf(
  element: HTMLElement,
  lines: readonly Line[],
  format: (value: number) => string,
  scale: number,
): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => resolveColor(element, style.getPropertyValue(name));
  const axis = {
    stroke: color("--muted"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: {
        range: () => {
          const now = serviceNow() / 1000;
          return [now - spanSeconds, now];
        },
      },
      y: { range: (_, __, max) => [0, Math.max(scale, max * 1.1)] },
    },
    axes: [
      { ...axis, size: 32, values: (_, ticks) => ticks.map(formatTick) },
      { ...axis, size: 80, values: (_, ticks) => ticks.map((tick) => format(tick)) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.title,
        stroke: color(line.color),
        width: 2,
        points: { show: false },
      })),
    ],
  };
}

/** A color as a canvas takes it: `light-dark()` is resolved by an element only. */
function resolveColor(element: HTMLElement, value: string): string {
  const probe = document.createElement("span");
  probe.style.color = value;
  element.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}
