import { CliError } from "./failure.ts";

/**
 * A field of an answer that every server of this interface sends.
 *
 * @throws CliError if it is missing or not valid
 */
export function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new CliError("failed", `the answer of the server has no valid ${name}`);
  return value;
}
