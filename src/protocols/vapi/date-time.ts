const pattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Parses an RFC 3339 date and time with any number of fraction digits. Without a zone, as in the 2014 samples, it is
 * UTC.
 *
 * @returns milliseconds since the epoch, or undefined when the text is not a valid date and time
 */
export function parseDateTime(text: string): number | undefined {
  const match = pattern.exec(text.trim());
  if (match === null) return undefined;
  const [, local = "", fraction = "", zone = "Z"] = match;
  const wallClock = Date.parse(`${local}Z`);
  // Date.parse reads 30 February as 2 March.
  if (Number.isNaN(wallClock) || new Date(wallClock).toISOString().slice(0, 19) !== local) return undefined;
  const ms = Date.parse(`${local}.${fraction.slice(0, 3).padEnd(3, "0")}${zone}`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Formats RFC 3339 in UTC with milliseconds and `Z`, always in this form because some clients compare times as text. */
export function formatDateTime(ms: number): string {
  return new Date(ms).toISOString();
}
