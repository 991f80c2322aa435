import { z } from "zod";
import {
  byteCount,
  byteCountRule,
  secondsAsMs,
  secondsRule,
  wholeNumber,
  wholeNumberRule,
} from "./numbers.ts";

/** What the help and the documentation say about a setting. */
export interface Manual {
  /** What the flag takes, as in `--port <number>`. */
  readonly argument: string;
  readonly help: string;
  /** The value when nothing follows the flag; without it, a value is required. */
  readonly alone?: string;
  /** What applies when the setting is left out, if that is not a fixed value. */
  readonly default?: string;
  /** Whether the value is a secret: a file may hold it, see `fileTwinOf`, and messages do not repeat it. */
  readonly secret?: boolean;
  /** Whether messages do not repeat the value, because a wrong one may hold a secret. */
  readonly unquoted?: boolean;
  /** Whether operators may change the value while the service runs, see `changeableSettings`. */
  readonly changeable?: boolean;
}

/** Every field that is a setting is registered here. */
export const manual = z.registry<Manual>();

/** What the values of a setting are. */
export interface ValueRange {
  readonly unit?: string;
  readonly min?: number;
  readonly max?: number;
  /** Every value that a text may have. */
  readonly choices?: readonly string[];
}

const ranges = z.registry<ValueRange>();

/** The range of a field, also of one with a default; empty when it is not limited to one. */
export function rangeOf(schema: z.core.$ZodType): ValueRange {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional)
    return rangeOf(schema.def.innerType);
  return ranges.get(schema) ?? {};
}

/** Names a setting: a group's name begins it, and milliseconds are given in seconds. */
type Named<Key extends string> = Key extends `${infer Stem}Ms` ? `${Stem}Seconds` : Key;

/** The names of all settings in a shape of fields and groups of fields. */
export type SettingNames<Shape> = {
  [Key in keyof Shape & string]: Shape[Key] extends z.ZodObject<infer Group>
    ? `${Key}${Capitalize<SettingNames<Group>>}`
    : Named<Key>;
}[keyof Shape & string];

/** The name of the setting at a path, for example `jwtClockToleranceSeconds` for `jwt`, `clockToleranceMs`. */
export function settingNameOf(path: readonly PropertyKey[]): string {
  const [first = "", ...others] = path.map(String);
  return [first, ...others.map((key) => key.charAt(0).toUpperCase() + key.slice(1))]
    .join("")
    .replace(/Ms$/, "Seconds");
}

interface RuleBetween<Name extends string, Values> {
  /** The settings it is about; it is not checked when one of them is wrong by itself. */
  readonly about: readonly Name[];
  /** The setting that is wrong when the rule does not hold. */
  readonly path: Name;
  readonly message: string;
  holds(values: Values): boolean;
}

/** A rule between settings of a shape. */
export type Rule<Shape extends z.core.$ZodShape> = RuleBetween<
  SettingNames<Shape>,
  z.output<z.ZodObject<Shape>>
>;

/** `on` or `off`, as a boolean. */
export function onOff() {
  return oneOf(["on", "off"]).transform((value) => value === "on");
}

export const filePath = () => z.string("must be set").min(1, "must not be empty");

export function integer(min: number, max: number, unit?: string) {
  const range = { min, max, ...(unit !== undefined && { unit }) };
  return numberField((text) => wholeNumber(text, min, max), wholeNumberRule(min, max), range);
}

/** Bytes, with or without a unit such as `GiB`. */
export function bytes(min: number) {
  return numberField((text) => byteCount(text, min), `${byteCountRule}, at least ${min}`, {
    min,
    unit: "bytes",
  });
}

/** Seconds with or without a fraction, as milliseconds. */
export function seconds(min: number, max: number) {
  const range = { min, max, unit: "seconds" };
  return numberField((text) => secondsAsMs(text, min, max), secondsRule(min, max), range);
}

function numberField(parse: (text: string) => number | undefined, message: string, range: ValueRange) {
  return z
    .string()
    .transform((text) => parse(text) ?? Number.NaN)
    .refine((value) => !Number.isNaN(value), message)
    .register(ranges, range);
}

export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, `must be one of ${values.join(", ")}`).register(ranges, { choices: values });
}

/** Entries separated by commas. */
export function commaSeparated() {
  return z.string().transform((text) => text.split(",").map((entry) => entry.trim()));
}

/** @param message what each entry must be */
export function listOf(isEntry: (entry: string) => boolean, message: string) {
  return commaSeparated().refine((entries) => entries.every(isEntry), message);
}

/** As `listOf`; empty when the setting is left out. */
export function optionalListOf(isEntry: (entry: string) => boolean, message: string) {
  return listOf(isEntry, message)
    .optional()
    .transform((entries) => entries ?? []);
}

/** Whether it is an http or https URL without credentials. */
export function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
}
