import type { Spread } from "./statistics.ts";

export function count(value: number): string {
  return Math.round(value).toLocaleString("en");
}

export function range({ least, greatest }: Spread): string {
  return `${count(least)}–${count(greatest)}`;
}

/** A range of small numbers. */
export function fixed({ least, greatest }: Spread): string {
  return `${least.toFixed(2)}–${greatest.toFixed(2)}`;
}

/** A ratio with its spread. */
export function times({ median, least, greatest }: Spread): string {
  return `${median.toFixed(2)} (${least.toFixed(2)}–${greatest.toFixed(2)})`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}
