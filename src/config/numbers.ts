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

/** Says which sizes `byteCount` accepts. */
export const byteCountRule = "must be a number of bytes, such as 500000, 500KiB or 1.5MiB";

const unitBytes: Readonly<Record<string, number>> = { k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };
const decimalUnitBytes: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9, t: 1e12 };

/** Reads a size such as `1.5 MiB` or `1.5M`, both of powers of 1024, or `1.5MB` of powers of 1000; undefined as for `wholeNumber`. */
export function byteCount(text: string, min: number, max = Number.MAX_SAFE_INTEGER): number | undefined {
  const [, number, unit = "", suffix = ""] =
    /^(\d+(?:\.\d+)?) ?(?:([kmgt])(i?b)?|b)?$/i.exec(text.trim()) ?? [];
  const units = suffix.toLowerCase() === "b" ? decimalUnitBytes : unitBytes;
  const count = Math.floor(Number(number) * (units[unit.toLowerCase()] ?? 1));
  return inRange(count, min, max);
}

function inRange(value: number, min: number, max: number): number | undefined {
  return value >= min && value <= max ? value : undefined;
}
