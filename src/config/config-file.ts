import { closest } from "../domain/closest.ts";
import { configSetting, fieldSettings, type Setting, type SettingForm, settings } from "./settings.ts";
import { readSmallFile, SmallFileError } from "./small-file.ts";
import { parseYaml, type YamlEntry, type YamlValue } from "./yaml.ts";

/** A configuration file: a mapping in YAML from the names of flags, without their dashes, to values. */
export interface ConfigFile {
  readonly values: ReadonlyMap<Setting["name"], FileValue>;
  /** What is wrong with it besides its values, a line each. */
  readonly mistakes: readonly string[];
  /** Whether it can't be read, so that nothing is known of its values. */
  readonly isBroken: boolean;
}

/** The value of a setting in a file. */
export interface FileValue {
  /** File, line and name. */
  readonly label: string;
  /** As the flag takes it; empty when there is a mistake. */
  readonly text: string;
  /** Follows the label. */
  readonly mistake?: string;
}

const maxBytes = 262_144;

/** Reads the configuration file that a flag, or else a variable, names; undefined without one. */
export async function findConfigFile({
  flags,
  environment,
}: {
  readonly flags: { readonly config?: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
}): Promise<ConfigFile | undefined> {
  const { flag, variable } = configSetting;
  if (flags.config !== undefined) return readConfigFile(flags.config, flag);
  const path = environment[variable];
  return path ? readConfigFile(path, variable) : undefined;
}

/**
 * Reads a configuration file. What is wrong with it is in the result.
 *
 * @param label of the flag or variable that names it
 */
async function readConfigFile(path: string, label: string): Promise<ConfigFile> {
  const broken = (mistakes: readonly string[]) => ({ values: new Map(), mistakes, isBroken: true });
  try {
    const { text, mode } = readSmallFile(path, maxBytes);
    const { entries, problems } = await parseYaml(text);
    if (problems.length > 0)
      return broken(problems.map(({ line, message }) => `${path}:${line}: ${message}`));
    // Windows has no such mode.
    const isPublic = process.platform !== "win32" && (mode & 0o004) !== 0;
    return fileOf(entries, path, isPublic);
  } catch (error) {
    if (!(error instanceof SmallFileError)) throw error;
    return broken([`${label} ${error.message}, not '${path}'`]);
  }
}

function fileOf(entries: readonly YamlEntry[], path: string, isPublic: boolean): ConfigFile {
  const values = new Map<Setting["name"], FileValue>();
  const mistakes: string[] = [];
  for (const { line, key, value } of entries) {
    const label = `${path}:${line}: ${key}`;
    const setting = byKey.get(key);
    if (setting === undefined) {
      mistakes.push(`${label} is not a setting${suggestion(key, value)}`);
    } else if (values.has(setting.name)) {
      mistakes.push(`${label} is set twice`);
    } else {
      const given = textOf(value, setting.form);
      const leak = isPublic && "text" in given ? leakOf(setting, given.text) : undefined;
      values.set(setting.name, { label, text: "", ...(leak === undefined ? given : { mistake: leak }) });
    }
  }
  return { values, mistakes, isBroken: false };
}

/** The settings that a file may have. `config` names the file itself. */
const byKey = new Map(
  settings.filter(({ name }) => name !== "config").map((setting) => [keyOf(setting), setting]),
);
const keys = [...byKey.keys()];
const filesOfSecrets = new Map<string, Setting>(
  fieldSettings.flatMap(({ name, file }) => (file === undefined ? [] : [[name, file]])),
);

function keyOf({ flag }: Setting): string {
  return flag.slice("--".length);
}

/** The text that the flag would have. */
function textOf(
  value: YamlValue,
  form: SettingForm,
): { readonly text: string } | { readonly mistake: string } {
  switch (value.kind) {
    case "text": {
      // Line breaks at the end are those of a block (`|`).
      const text = value.text.replace(/\n+$/, "");
      return { text: form === "switch" ? text.replace(/^true$/, "on").replace(/^false$/, "off") : text };
    }
    case "nothing":
      return { mistake: "has no value; remove it to leave it unset" };
    case "list":
      if (form !== "list") return { mistake: "takes one value, not a list" };
      if (value.texts.some((text) => text.includes(","))) {
        return { mistake: "must not have commas within the entries of a list" };
      }
      return { text: value.texts.join(",") };
    case "mapping":
      return { mistake: "takes a value, not a group of settings" };
    case "other":
      return {
        mistake: `takes a text${form === "list" ? " or a list of texts" : ""}, without aliases (*)`,
      };
  }
}

/** What is wrong with a secret in a file that everybody may read. */
function leakOf({ name }: Setting, text: string): string | undefined {
  const file = filesOfSecrets.get(name);
  const isHarmless = /^[^:]*:\/\/[^@]*$/.test(text);
  if (file === undefined || isHarmless) return undefined;
  return `is a secret, but everybody on this machine can read the file: chmod o-r it, or use ${keyOf(file)}`;
}

/** What was probably meant by a name: other spellings, groups and misspellings are recognised. */
function suggestion(key: string, value: YamlValue): string {
  const name = key
    .replace(/^--|^DOWNLEASE_/, "")
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replaceAll("_", "-")
    .toLowerCase();
  const member = value.kind === "mapping" && value.keys.find((each) => byKey.has(`${name}-${each}`));
  if (member) return `; there are no groups: write ${name}-${member}`;
  const meant = byKey.has(name) ? name : closest(name, keys);
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}
