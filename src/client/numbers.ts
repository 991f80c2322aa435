import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** The longest time of a timer of Node.js in milliseconds. A longer one fires at once. */
export const maxTimerMs = 2 ** 31 - 1;

/** The nearest number in a range; the lower bound for NaN. */
export function clamp(value: number, min: number, max: number): number {
  return value > min ? Math.min(value, max) : min;
}

/** A moment that a server sends; undefined if it is none, or out of the range of a `Date`. */
export function momentOf(timestamp: Timestamp | undefined): Date | undefined {
  if (timestamp === undefined) return undefined;
  const date = timestampDate(timestamp);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** A size in bytes that a server sends; undefined if it is none, or not exact as a number. */
export function sizeOf(size: bigint | undefined): number | undefined {
  return size === undefined || size < 0n || size > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(size);
}

/** A progress in percent that a server sends. */
export function percentOf(progress: bigint | undefined): number {
  return clamp(Number(progress ?? 0n), 0, 100);
}
