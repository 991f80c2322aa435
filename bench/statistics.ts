export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** @param sorted ascending */
export function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Median and range of a value over several rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * The ratio of two medians; its range is that of the ratios of neighbouring rounds, measured one right after the other.
 *
 * @param values and `others`: one value per round
 */
export function ratio(values: readonly number[], others: readonly number[]): Spread {
  const neighbours = values.map((value, round) => value / others[round]!);
  return { ...spread(neighbours), median: median(values) / median(others) };
}

/** A Markdown table. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Share of cases in which chance alone makes a difference that `shift` takes for one. */
export const errorShare = 0.02;

/**
 * How the values of one sample compare with those of another: the ratio of the medians, and the exact interval of the
 * Mann-Whitney test for a ratio, which assumes no distribution. Samples differ when the interval excludes 1.
 *
 * @returns undefined when the samples are too small for any difference to count: with five values, four are enough
 */
export function shift(values: readonly number[], others: readonly number[]): Spread | undefined {
  const cut = ratiosToCut(values.length, others.length);
  if (cut === undefined) return undefined;
  const ratios = values.flatMap((value) => others.map((other) => dividedBy(value, other)));
  ratios.sort((a, b) => a - b);
  return {
    median: dividedBy(median(values), median(others)),
    min: ratios[cut]!,
    max: ratios[ratios.length - 1 - cut]!,
  };
}

function dividedBy(value: number, other: number): number {
  return value === other ? 1 : value / other;
}

/** How many ratios at each end are outside of the interval; undefined when not even the extremes are rare enough. */
function ratiosToCut(length: number, other: number): number | undefined {
  const counts = rankSumCounts(length, other);
  const orders = counts.reduce((sum, count) => sum + count, 0);
  let rarer = 0;
  let cut: number | undefined;
  for (const [u, count] of counts.entries()) {
    rarer += count;
    if ((2 * rarer) / orders > errorShare) break;
    cut = u;
  }
  return cut;
}

/** In how many orders of two samples exactly 0, 1, 2, … pairs have the larger value in the first sample. */
function rankSumCounts(length: number, other: number): number[] {
  let row: number[][] = Array.from({ length: other + 1 }, () => [1]);
  for (let size = 1; size <= length; size++) {
    const next: number[][] = [[1]];
    for (let otherSize = 1; otherSize <= other; otherSize++) {
      // The largest of all values is in the first sample and larger than all of the other, or it is in the other.
      const counts = new Array<number>(size * otherSize + 1).fill(0);
      for (const [u, count] of row[otherSize]!.entries()) counts[u + otherSize]! += count;
      for (const [u, count] of next[otherSize - 1]!.entries()) counts[u]! += count;
      next.push(counts);
    }
    row = next;
  }
  return row[other]!;
}
