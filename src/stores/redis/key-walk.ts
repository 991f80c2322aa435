import { pageBounds } from "../../domain/session-record-store.ts";
import type { Turns } from "../../domain/turns.ts";
import { formatPosition, type KeyScan, type ScanPosition } from "./key-scan.ts";

const { maxSteps, maxMs } = pageBounds;
/** Redis may find more ids than a step asks for: so many less than there is room for are asked for. */
const surplus = 16;

export interface Walk<T> {
  readonly scan: KeyScan;
  readonly turns: Turns;
  /** About how many keys are scanned in one turn, at most. */
  readonly stepLength: number;
  /** Whether most of the keys are expected to be left out. */
  readonly isFiltered: boolean;
  /** Reads what is at the ids, in their order; undefined for what is left out. */
  read(ids: readonly string[]): Promise<readonly (T | undefined)[]>;
}

interface Found<T> {
  readonly id: string;
  readonly value: T;
}

interface Portion<T> {
  readonly found: readonly Found<T>[];
  readonly next: ScanPosition | undefined;
}

/**
 * A page of a walk over keys, of bounded work.
 *
 * @param max how much the page may have, at least 1
 * @throws ServiceError `downlease.page.token` when the cursor is none of a walk
 */
export async function pageOf<T>(
  walk: Walk<T>,
  cursor: string | undefined,
  max: number,
): Promise<{ readonly values: readonly T[]; readonly cursor: string | undefined }> {
  const endsAt = performance.now() + maxMs;
  const values: T[] = [];
  let position: ScanPosition | undefined = await walk.scan.begin(cursor);
  for (let steps = 0; position !== undefined && steps < maxSteps; steps++) {
    const from: ScanPosition = position;
    const room = max - values.length;
    if (room === 0 || performance.now() > endsAt) break;
    const portion = await walk.turns.run(() => take(walk, from, room, steps === 0));
    if (portion === undefined) break;
    values.push(...portion.found.map(({ value }) => value));
    position = portion.next;
  }
  return { values, cursor: position && formatPosition(position) };
}

/** One step of a walk. Undefined when it does not fit, and has to begin the next page. */
async function take<T>(
  walk: Walk<T>,
  from: ScanPosition,
  room: number,
  isFirst: boolean,
): Promise<Portion<T> | undefined> {
  for (let count = firstCount(walk, from, room); ; count = Math.ceil(count / 8)) {
    const { ids, next, isWhole } = await walk.scan.step(from, count);
    const read = await walk.read(ids);
    const found = ids.flatMap((id, index) => {
      const value = read[index];
      return value === undefined ? [] : [{ id, value }];
    });
    if (found.length <= room) return { found, next };
    // Taken in part, a step is repeated for the next page. Should the server have shrunk its table by then, a step over
    // several buckets would have other ids; one over the smallest number of buckets, or over all, has not.
    if (count > 1 && !isWhole && from.count === 0) continue;
    if (!isWhole && !isFirst) return undefined;
    const taken = found.slice(0, room);
    return { found: taken, next: { ...from, count, after: taken.at(-1)!.id } };
  }
}

/** How many ids the first attempt of a step asks for. The first step of a part may find all that there is. */
function firstCount(
  { isFiltered, stepLength }: Walk<unknown>,
  { count, cursor }: ScanPosition,
  room: number,
): number {
  if (count > 0) return count;
  if (isFiltered || cursor === "0") return stepLength;
  return Math.max(1, Math.min(stepLength, room - surplus));
}
