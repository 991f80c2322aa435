import { closest } from "../domain/closest.ts";
import type { SettingSource } from "../domain/settings-schema.ts";
import { changeableSettings } from "./changeable.ts";
import { clientSettings } from "./client-settings.ts";
import type { ConfigFile } from "./config-file.ts";
import { settingNameOf } from "./fields.ts";
import { inputFrom, type Origin, type Origins } from "./origins.ts";
import { SecretUrl } from "./secret.ts";
import { readSecretFile } from "./secret-file.ts";
import { isServiceLink } from "./service-links.ts";
import {
  type Config,
  configSchema,
  type FieldSetting,
  fieldSettings,
  type Setting,
  type SettingName,
  settings,
} from "./settings.ts";
import { SmallFileError } from "./small-file.ts";
import { readTracing } from "./tracing.ts";

/** The user's mistakes in the configuration, all of them, one line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(["The configuration is wrong:", ...mistakes.map((mistake) => `  ${mistake}`)].join("\n"));
    this.mistakes = mistakes;
  }
}

export interface ConfigSources {
  /** By the names of settings. */
  readonly flags: Readonly<Partial<Record<Setting["name"], string>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The configuration file that flags or environment name. */
  readonly file?: ConfigFile | undefined;
  /** Content root when neither a root nor a bucket is set. */
  readonly defaultContentRoot?: string | undefined;
  /** Throws an Error that says what is wrong with a Redis URL, without repeating it. */
  readonly checkRedisUrl?: (url: string) => void;
}

/** Where values come from: what is further to the front wins. */
const places = ["flag", "variable", "file"] as const satisfies readonly SettingSource[];
type Place = (typeof places)[number];

/**
 * Reads all settings. A flag wins over its variable, which wins over the configuration file; an empty variable counts
 * as unset, and so does one that Kubernetes sets by itself. A secret may be in a file.
 *
 * @throws ConfigError
 */
export function loadConfig(sources: ConfigSources): Config {
  const { file } = sources;
  if (file?.isBroken) throw new ConfigError([...file.mistakes, ...unknownVariables(sources.environment)]);
  const origins = originsFrom(sources);
  const result = configSchema.safeParse(inputFrom((name) => origins.get(name)?.text));
  const wrong = new Map<string, string>();
  for (const [name, { mistake }] of origins) if (mistake !== undefined) wrong.set(name, mistake);
  for (const { path, message } of result.error?.issues ?? []) {
    const name = settingNameOf(path);
    if (!wrong.has(name)) wrong.set(name, message);
  }
  const redisUrl = origins.get("redisUrl")?.text;
  if (redisUrl !== undefined && !wrong.has("redisUrl")) {
    try {
      sources.checkRedisUrl?.(redisUrl);
    } catch (error) {
      wrong.set("redisUrl", (error as Error).message);
    }
  }
  const traceMistakes: string[] = [];
  const tracing = readTracing(sources.environment, (message) => traceMistakes.push(message));
  const mistakes = fieldSettings
    .filter(({ name }) => wrong.has(name))
    .map((setting) => describe(setting, origins.get(setting.name), wrong.get(setting.name)!))
    .concat(file?.mistakes ?? [], unknownVariables(sources.environment), traceMistakes);
  if (result.data === undefined || mistakes.length > 0) throw new ConfigError(mistakes);
  return deepFreeze({ ...result.data, tracing, changeable: changeableSettings(origins) });
}

function originsFrom(sources: ConfigSources): Origins {
  const origins = new Map<SettingName, Origin>();
  for (const setting of fieldSettings) {
    const origin = originOf(setting, sources);
    if (origin !== undefined) origins.set(setting.name, origin);
  }
  const { defaultContentRoot } = sources;
  if (defaultContentRoot !== undefined && !origins.has("s3Bucket") && !origins.has("contentRoot")) {
    origins.set("contentRoot", { source: "default", label: "--content-root", text: defaultContentRoot });
  }
  return origins;
}

function originOf(setting: FieldSetting, sources: ConfigSources): Origin | undefined {
  for (const from of places) {
    const value = givenBy(from, setting, sources);
    const file = setting.file && givenBy(from, setting.file, sources);
    if (file === undefined) {
      if (value !== undefined) return value;
    } else if (value !== undefined) {
      return { ...file, text: "", mistake: `must be left out with ${labelIn(from, setting)}` };
    } else {
      return file.mistake === undefined ? originInFile(file) : file;
    }
  }
  return undefined;
}

/** What a setting is called where its value comes from. */
function labelIn(from: Place, { flag, variable }: Setting): string {
  if (from === "variable") return variable;
  return from === "flag" ? flag : flag.slice("--".length);
}

function givenBy(
  from: Place,
  setting: Setting,
  { flags, environment, file }: ConfigSources,
): Origin | undefined {
  if (from === "file") {
    const value = file?.values.get(setting.name);
    return value && { source: from, ...value };
  }
  const text = from === "flag" ? flags[setting.name] : variableValue(setting.variable, environment);
  return text === undefined ? undefined : { source: from, label: labelIn(from, setting), text };
}

function variableValue(variable: string, environment: ConfigSources["environment"]): string | undefined {
  const value = environment[variable];
  return !value || isServiceLink(variable, value) ? undefined : value;
}

/** @param origin of the path of a secret's file */
function originInFile({ source, label, text: path }: Origin): Origin {
  try {
    return { source, label: `the text in ${label}`, text: readSecretFile(path) };
  } catch (error) {
    if (!(error instanceof SmallFileError)) throw error;
    return { source, label, text: "", mistake: error.message };
  }
}

function describe(setting: FieldSetting, origin: Origin | undefined, rule: string): string {
  const { flag, variable, secret, unquoted } = setting;
  if (origin === undefined) return `${flag} (or ${variable}) ${rule}`;
  // Whatever the setting, a URL in it may have a password.
  if (origin.mistake !== undefined) return `${origin.label} ${origin.mistake}`;
  return `${origin.label} ${rule}${secret || unquoted ? "" : `, not '${new SecretUrl(origin.text)}'`}`;
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === "object") deepFreeze(member);
  return Object.freeze(value);
}

const prefix = "DOWNLEASE_";

/** The variables of the commands that call a service are no mistakes: both may be set for one user. */
function unknownVariables(environment: ConfigSources["environment"]): string[] {
  const names = [...settings, ...clientSettings].flatMap(
    ({ variable }) => variable?.slice(prefix.length) ?? [],
  );
  return Object.keys(environment)
    .filter((variable) => variable.startsWith(prefix) && variableValue(variable, environment) !== undefined)
    .map((variable) => variable.slice(prefix.length))
    .filter((name) => !names.includes(name))
    .map((name) => {
      const meant = closest(name, names);
      return `${prefix}${name} is not a setting${meant === undefined ? "" : `; did you mean ${prefix}${meant}?`}`;
    });
}

/** The variables that Kubernetes has set for a Service whose name begins as ours do. They count as unset. */
export function serviceLinksIn(environment: ConfigSources["environment"]): string[] {
  return Object.keys(environment).filter(
    (variable) =>
      variable.startsWith(prefix) &&
      environment[variable] &&
      variableValue(variable, environment) === undefined,
  );
}

/** The paths of the files that hold secrets. */
export function secretFilesIn(sources: ConfigSources): string[] {
  return fieldSettings.flatMap(({ file }) => {
    const origin = file && places.map((from) => givenBy(from, file, sources)).find((each) => each);
    return origin === undefined || origin.text === "" ? [] : [origin.text];
  });
}
