import { clientSettings } from "./client-settings.ts";
import { closest } from "./closest.ts";
import { settingNameOf } from "./fields.ts";
import { type Config, configSchema, type Setting, type SettingName, settings } from "./settings.ts";

/** The user's mistakes in the configuration, all of them, one line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(["The configuration is wrong:", ...mistakes.map((mistake) => `  ${mistake}`)].join("\n"));
    this.mistakes = mistakes;
  }
}

/** Texts by the names of settings. */
type Texts = Readonly<Partial<Record<SettingName, string>>>;

export interface ConfigSources {
  readonly flags: Texts;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Content root when neither a root nor a bucket is set. */
  readonly defaultContentRoot?: string | undefined;
  /** Throws an Error that says what is wrong with a Redis URL, without repeating it. */
  readonly checkRedisUrl?: (url: string) => void;
}

/**
 * Reads all settings. A flag wins over its variable; an empty variable counts as unset.
 *
 * @throws ConfigError
 */
export function loadConfig(sources: ConfigSources): Config {
  const texts = textsFrom(sources);
  const result = configSchema.safeParse(inputFrom(texts));
  const wrong = new Map<string, string>();
  for (const { path, message } of result.error?.issues ?? []) {
    const name = settingNameOf(path);
    if (!wrong.has(name)) wrong.set(name, message);
  }
  if (texts.redisUrl !== undefined && !wrong.has("redisUrl")) {
    try {
      sources.checkRedisUrl?.(texts.redisUrl);
    } catch (error) {
      wrong.set("redisUrl", (error as Error).message);
    }
  }
  const mistakes = settings
    .filter(({ name }) => wrong.has(name))
    .map((setting) => `${nameUsed(setting, sources)} ${wrong.get(setting.name)}${quote(setting, texts)}`)
    .concat(unknownVariables(sources.environment));
  if (result.data === undefined || mistakes.length > 0) throw new ConfigError(mistakes);
  return deepFreeze(result.data);
}

function textsFrom({ flags, environment, defaultContentRoot }: ConfigSources): Texts {
  const texts: Partial<Record<SettingName, string>> = {};
  for (const { name, variable } of settings) {
    const text = flags[name] ?? (environment[variable] || undefined);
    if (text !== undefined) texts[name] = text;
  }
  if (defaultContentRoot !== undefined && texts.s3Bucket === undefined)
    texts.contentRoot ??= defaultContentRoot;
  return texts;
}

interface Group {
  [key: string]: Group | string;
}

/** The texts at the paths of their settings. Every group is there, even an empty one. */
function inputFrom(texts: Texts): Group {
  const input: Group = {};
  for (const { name, path } of settings) {
    let group = input;
    for (const key of path.slice(0, -1)) {
      group[key] ??= {};
      group = group[key] as Group;
    }
    const text = texts[name];
    if (text !== undefined) group[path.at(-1)!] = text;
  }
  return input;
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) if (typeof member === "object") deepFreeze(member);
  return Object.freeze(value);
}

function nameUsed({ name, flag, variable }: Setting, { flags, environment }: ConfigSources): string {
  if (flags[name] !== undefined) return flag;
  return environment[variable] ? variable : `${flag} (or ${variable})`;
}

function quote({ name, secret }: Setting, texts: Texts): string {
  const text = texts[name];
  return secret || text === undefined ? "" : `, not '${text}'`;
}

const prefix = "DOWNLEASE_";

/** The variables of the commands that call a service are no mistakes: both may be set for one user. */
function unknownVariables(environment: ConfigSources["environment"]): string[] {
  const names = [...settings, ...clientSettings].flatMap(
    ({ variable }) => variable?.slice(prefix.length) ?? [],
  );
  return Object.keys(environment)
    .filter((variable) => variable.startsWith(prefix) && environment[variable])
    .map((variable) => variable.slice(prefix.length))
    .filter((name) => !names.includes(name))
    .map((name) => {
      const meant = closest(name, names);
      return `${prefix}${name} is not a setting${meant === undefined ? "" : `; did you mean ${prefix}${meant}?`}`;
    });
}
