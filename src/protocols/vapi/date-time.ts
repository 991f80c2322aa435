const pattern = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Reads an RFC 3339 date and time with any number of fraction digits; without a zone (as the 2014 samples print
 * it) it is UTC.
 *
 * @returns milliseconds since the epoch, or undefined when the text is no such date
 */
export function parseDateTime(text: string): number | undefined {
  const match = pattern.exec(text.trim());
  if (match === null) return undefined;
  const [, local = "", fraction = "", zone = "Z"] = match;
  const wallClock = Date.parse(`${local}Z`);
  // Date.parse takes the 30th of February for the 2nd of March.
  if (Number.isNaN(wallClock) || new Date(wallClock).toISOString().slice(0, 19) !== local) return undefined;
  const ms = Date.parse(`${local}.${fraction.slice(0, 3).padEnd(3, "0")}${zone}`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Writes RFC 3339 in UTC with milliseconds and `Z`; some clients compare times as texts. */
export function formatDateTime(ms: number): string {
  return new Date(ms).toISOString();
}
