/**
 * Measures each contender once a round, one right after the other. Every round begins with another one, and two of
 * four rounds go backwards, so that none is always the first, or always behind the same other.
 *
 * @returns for each contender its rounds
 */
export async function inRounds<Contender, Result>(
  contenders: readonly Contender[],
  rounds: number,
  measure: (contender: Contender, round: number) => Promise<Result>,
): Promise<Result[][]> {
  const measured = contenders.map((): Result[] => []);
  for (let round = 1; round <= rounds; round++) {
    for (const index of orderOf(contenders.length, round)) {
      measured[index]!.push(await measure(contenders[index]!, round));
    }
  }
  return measured;
}

/** Indices in the order of a round, which counts from 1. */
export function orderOf(length: number, round: number): number[] {
  const order = Array.from({ length }, (_, turn) => (round - 1 + turn) % length);
  return (round - 1) % 4 < 2 ? order : order.reverse();
}
