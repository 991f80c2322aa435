/** The name of a value of a generated enumeration, or its number if this release has no name for it. */
export function enumName(values: Readonly<Record<string, number>>, value: number | undefined): string {
  return Object.keys(values).find((name) => values[name] === value) ?? String(value);
}
