import type { ByteRange } from "../domain/content-source.ts";

/**
 * The range that is asked for, or the whole of a file of this many bytes; of an empty file that is none, from 0 to -1.
 *
 * @throws RangeError when the range is not a range of the file's bytes
 */
export function rangeOf(size: number, range?: ByteRange): ByteRange {
  if (range === undefined) return { start: 0, end: size - 1 };
  const { start, end } = range;
  const isRange = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (isRange && 0 <= start && start <= end && end < size) return range;
  throw new RangeError(`bytes ${start} to ${end} are not all in ${size} bytes`);
}
