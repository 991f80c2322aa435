import type { Spread } from "./statistics.ts";

export function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

export function range({ min, max }: Spread): string {
  return `${count(min)}–${count(max)}`;
}

/** A range of small numbers, with decimals. */
export function fixed({ min, max }: Spread): string {
  return `${min.toFixed(2)}–${max.toFixed(2)}`;
}

/** A ratio with its range. */
export function times({ median, min, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** A value with its range and its unit. */
export function withUnit({ median, min, max }: Spread, unit: string, digits: number): string {
  const range = `${min.toFixed(digits)}–${max.toFixed(digits)}`;
  return `${median.toFixed(digits)}${unit === "" ? "" : ` ${unit}`} (${range})`;
}
