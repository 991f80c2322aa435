import { clientSettings } from "./client-settings.ts";
import { closest } from "./closest.ts";
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

export interface ConfigSources {
  /** Texts by setting name, as given by flags. */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Content root when neither one nor a bucket is set. */
  readonly defaultContentRoot?: string | undefined;
  /** Throws an Error that says what is wrong with a Redis URL, without repeating it. */
  readonly checkRedisUrl?: (url: string) => void;
}

/**
 * The only reader of the environment. A flag wins over its variable; an empty variable counts as unset.
 *
 * @throws ConfigError
 */
export function loadConfig(sources: ConfigSources): Config {
  const { flags, environment, defaultContentRoot, checkRedisUrl } = sources;
  const given: Partial<Record<SettingName, string>> = {};
  for (const { name, variable } of settings) {
    const text = flags[name] ?? (environment[variable] || undefined);
    if (text !== undefined) given[name] = text;
  }
  if (defaultContentRoot !== undefined && given.s3Bucket === undefined)
    given.contentRoot ??= defaultContentRoot;
  const result = configSchema.safeParse(given);
  const wrong = new Map<SettingName, string>();
  for (const { path, message } of result.error?.issues ?? []) {
    const name = path[0] as SettingName;
    if (!wrong.has(name)) wrong.set(name, message);
  }
  if (given.redisUrl !== undefined && !wrong.has("redisUrl")) {
    try {
      checkRedisUrl?.(given.redisUrl);
    } catch (error) {
      wrong.set("redisUrl", (error as Error).message);
    }
  }
  const mistakes = settings
    .filter(({ name }) => wrong.has(name))
    .map((setting) => `${nameUsed(setting, sources)} ${wrong.get(setting.name)}${quoted(setting, given)}`)
    .concat(unknownVariables(environment));
  if (result.data === undefined || mistakes.length > 0) throw new ConfigError(mistakes);
  return Object.freeze(result.data);
}

function nameUsed({ name, flag, variable }: Setting, { flags, environment }: ConfigSources): string {
  if (flags[name] !== undefined) return flag;
  return environment[variable] ? variable : `${flag} (or ${variable})`;
}

function quoted({ name, secret }: Setting, given: Partial<Record<SettingName, string>>): string {
  const text = given[name];
  return secret || text === undefined ? "" : `, not '${text}'`;
}

const prefix = "DOWNLEASE_";

/** Those of the commands that call a service are known here, too: both may be set for one user. */
function unknownVariables(environment: ConfigSources["environment"]): string[] {
  const known = [...settings, ...clientSettings].flatMap(
    ({ variable }) => variable?.slice(prefix.length) ?? [],
  );
  return Object.keys(environment)
    .filter((variable) => variable.startsWith(prefix) && environment[variable])
    .map((variable) => variable.slice(prefix.length))
    .filter((name) => !known.includes(name))
    .map((name) => {
      const meant = closest(name, known);
      return `${prefix}${name} is not a setting${meant === undefined ? "" : `; did you mean ${prefix}${meant}?`}`;
    });
}
