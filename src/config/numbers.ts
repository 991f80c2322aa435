/** Says which numbers `wholeNumber` accepts. */
export function wholeNumberRule(min: number, max: number): string {
  return `must be a whole number from ${min} to ${max}`;
}

/** Reads decimal digits; undefined for anything else and for a number out of range. */
export function wholeNumber(text: string, min: number, max: number): number | undefined {
  return inRange(/^\d+$/.test(text) ? Number(text) : Number.NaN, min, max);
}

/** Says which lengths of time `secondsAsMs` accepts. */
export function secondsRule(min: number, max: number): string {
  return `must be a number of seconds from ${min} to ${max}`;
}

/** Reads seconds, with or without a fraction, as milliseconds; undefined as for `wholeNumber`. */
export function secondsAsMs(text: string, min: number, max: number): number | undefined {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : Number.NaN;
  return inRange(ms, min * 1000, max * 1000);
}

function inRange(value: number, min: number, max: number): number | undefined {
  return value >= min && value <= max ? value : undefined;
}
