import { z } from "zod";

/** What the manual says of a setting. */
export interface Manual {
  /** What the flag takes, as in `--port <number>`. */
  readonly argument: string;
  readonly help: string;
  /** What the flag means when nothing follows it; without it, something has to. */
  readonly alone?: string;
  /** What holds when the setting is left out, if that is not a fixed value. */
  readonly default?: string;
  /** Whether the value must not be repeated in messages. */
  readonly secret?: boolean;
}

export interface Rule<T> {
  /** Settings that it is about; it is left out when one of them is wrong by itself. */
  readonly about: readonly (keyof T & string)[];
  /** The setting that is wrong when it does not hold. */
  readonly path: keyof T & string;
  readonly message: string;
  holds(given: T): boolean;
}

/** Of every field that is a setting. */
export const manual = z.registry<Manual>();

export const switches = ["on", "off"] as const;

export const pathOf = () => z.string("must be set").min(1, "must not be empty");

export function integer(least: number, most: number) {
  return z
    .string()
    .transform((text) => (/^\d+$/.test(text) ? Number(text) : Number.NaN))
    .refine((value) => value >= least && value <= most, `must be a whole number from ${least} to ${most}`);
}

/** Seconds with fractions → milliseconds. */
export function seconds(least: number, most: number) {
  return z
    .string()
    .transform((text) => (/^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : Number.NaN))
    .refine(
      (ms) => ms >= least * 1000 && ms <= most * 1000,
      `must be a number of seconds from ${least} to ${most}`,
    );
}

export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, `must be one of ${values.join(", ")}`);
}

/** What stands between commas. */
export function listed() {
  return z.string().transform((text) => text.split(",").map((entry) => entry.trim()));
}

/** @param message what each of them must be */
export function listOf(isOne: (entry: string) => boolean, message: string) {
  return listed()
    .refine((entries) => entries.every(isOne), message)
    .transform((entries): readonly string[] => Object.freeze(entries));
}

/** Whether it is an http or https URL without credentials. */
export function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
}
