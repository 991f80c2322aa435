import { closest } from "../domain/closest.ts";
import type { SettingSource } from "../domain/settings-schema.ts";
import { changeableSettings } from "./changeable.ts";
import { clientSettings } from "./client-settings.ts";
import { settingNameOf } from "./fields.ts";
import { inputFrom, type Origin, type Origins } from "./origins.ts";
import { SecretUrl } from "./secret.ts";
import { readSecretFile, SecretFileError } from "./secret-file.ts";
import {
  type Config,
  configSchema,
  type FieldSetting,
  fieldSettings,
  type Setting,
  type SettingName,
  settings,
} from "./settings.ts";

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
  /** Content root when neither a root nor a bucket is set. */
  readonly defaultContentRoot?: string | undefined;
  /** Throws an Error that says what is wrong with a Redis URL, without repeating it. */
  readonly checkRedisUrl?: (url: string) => void;
}

/**
 * Reads all settings. A flag wins over its variable; an empty variable counts as unset. A secret may be in a file.
 *
 * @throws ConfigError
 */
export function loadConfig(sources: ConfigSources): Config {
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
  const mistakes = fieldSettings
    .filter(({ name }) => wrong.has(name))
    .map((setting) => describe(setting, origins.get(setting.name), wrong.get(setting.name)!))
    .concat(unknownVariables(sources.environment));
  if (result.data === undefined || mistakes.length > 0) throw new ConfigError(mistakes);
  return deepFreeze({ ...result.data, changeable: changeableSettings(origins) });
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

function originOf(setting: FieldSetting, { flags, environment }: ConfigSources): Origin | undefined {
  const { file } = setting;
  for (const kind of ["flag", "variable"] as const) {
    const given = (each: Setting) =>
      kind === "flag" ? flags[each.name] : environment[each.variable] || undefined;
    const [text, path] = [given(setting), file && given(file)];
    if (path === undefined) {
      if (text !== undefined) return { source: kind, label: setting[kind], text };
    } else if (text === undefined) {
      return originInFile(kind, file![kind], path);
    } else {
      return {
        source: kind,
        label: file![kind],
        text: "",
        mistake: `must be left out with ${setting[kind]}`,
      };
    }
  }
  return undefined;
}

function originInFile(source: SettingSource, label: string, path: string): Origin {
  try {
    return { source, label: `the text in ${label}`, text: readSecretFile(path) };
  } catch (error) {
    if (!(error instanceof SecretFileError)) throw error;
    return { source, label, text: "", mistake: error.message };
  }
}

function describe(setting: FieldSetting, origin: Origin | undefined, rule: string): string {
  const { flag, variable, secret, unquoted } = setting;
  if (origin === undefined) return `${flag} (or ${variable}) ${rule}`;
  // Whatever the setting, a URL in it may have a password.
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
    .filter((variable) => variable.startsWith(prefix) && environment[variable])
    .map((variable) => variable.slice(prefix.length))
    .filter((name) => !names.includes(name))
    .map((name) => {
      const meant = closest(name, names);
      return `${prefix}${name} is not a setting${meant === undefined ? "" : `; did you mean ${prefix}${meant}?`}`;
    });
}
