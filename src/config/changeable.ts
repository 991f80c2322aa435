import { closest } from "../domain/closest.ts";
import { ServiceError } from "../domain/errors.ts";
import type { SettingEntry, SettingsSchema, SettingTexts, SettingValues } from "../domain/settings-schema.ts";
import type { SettingChanges } from "../domain/settings-store.ts";
import { settingNameOf } from "./fields.ts";
import { inputFrom, type Origins } from "./origins.ts";
import {
  type ConfigValues,
  configSchema,
  type FieldSetting,
  fieldSettings,
  type SettingName,
} from "./settings.ts";

interface ChangeableField extends FieldSetting {
  /** The flag's name in snake_case, for example `lease_seconds`: as in the store and in the interface. */
  readonly publicName: string;
  readonly key: keyof SettingValues;
}

const fields: readonly ChangeableField[] = fieldSettings
  .filter(({ changeable }) => changeable)
  .map((setting) => ({
    ...setting,
    publicName: setting.flag.slice("--".length).replaceAll("-", "_"),
    key: setting.path[0] as keyof SettingValues,
  }));

const publicNames = fields.map(({ publicName }) => publicName);
const publicNamesByName = new Map<string, string>(fields.map(({ name, publicName }) => [name, publicName]));

/**
 * The settings that may change while the service runs, by the schema of the flags.
 *
 * @param origins of a valid configuration, which has the values until they are changed
 */
export function changeableSettings(origins: Origins): SettingsSchema {
  return new ChangeableSettings(origins);
}

class ChangeableSettings implements SettingsSchema {
  readonly #origins: Origins;

  constructor(origins: Origins) {
    this.#origins = origins;
  }

  read(changed: SettingTexts) {
    const { values, kept } = this.#readValid(changed);
    return { values, ignored: Object.keys(changed).filter((name) => !Object.hasOwn(kept, name)) };
  }

  describe(changed: SettingTexts): SettingEntry[] {
    const { values, kept } = this.#readValid(changed);
    return fields.map((field) => {
      const { name, publicName, help: description, range } = field;
      const value = textOf(field, values);
      const shown = { name: publicName, value, description, ...range };
      if (!Object.hasOwn(kept, publicName)) {
        return { ...shown, source: this.#origins.get(name)?.source ?? "default", firstValue: value };
      }
      const before = this.#readValid(without(kept, [publicName])).values;
      return { ...shown, source: "changed", firstValue: textOf(field, before) };
    });
  }

  check(changes: SettingChanges, changed: SettingTexts): SettingChanges {
    const mistakes = Object.keys(changes)
      .filter((name) => !publicNames.includes(name))
      .map(unknownName);
    const result = this.#parse(merged(this.#readValid(changed).kept, changes));
    for (const { path, message } of result.error?.issues ?? []) {
      const name = settingNameOf(path);
      mistakes.push(`'${publicNamesByName.get(name) ?? name}' ${message}`);
    }
    if (result.data === undefined || mistakes.length > 0) {
      throw new ServiceError("downlease.settings.invalid", [mistakes.join("; ")]);
    }
    const values = valuesOf(result.data);
    return Object.fromEntries(
      fields
        .filter(({ publicName }) => Object.hasOwn(changes, publicName))
        .map((field) => [
          field.publicName,
          changes[field.publicName] === undefined ? undefined : textOf(field, values),
        ]),
    );
  }

  /** All settings again, so that rules between them count as well. */
  #parse(changed: SettingTexts) {
    const text = (name: SettingName) => {
      const publicName = publicNamesByName.get(name);
      const isChanged = publicName !== undefined && Object.hasOwn(changed, publicName);
      return isChanged ? changed[publicName] : this.#origins.get(name)?.text;
    };
    return configSchema.safeParse(inputFrom(text));
  }

  #readValid(changed: SettingTexts): { values: SettingValues; kept: SettingTexts } {
    let kept = without(
      changed,
      Object.keys(changed).filter((name) => !publicNames.includes(name)),
    );
    for (;;) {
      const result = this.#parse(kept);
      if (result.data !== undefined) return { values: valuesOf(result.data), kept };
      const wrong = result.error.issues.map(({ path }) => publicNamesByName.get(settingNameOf(path)) ?? "");
      const isKnown = wrong.some((name) => Object.hasOwn(kept, name));
      // A rule between settings may blame one that was not changed.
      kept = isKnown ? without(kept, wrong) : {};
    }
  }
}

function valuesOf(config: ConfigValues): SettingValues {
  const { leaseMs, retentionMs, maxSessionsPerPrincipal, loginsPerPrincipal } = config;
  const { transferBandwidthMbps, maxTransfers, maxCalls, prepareMs, logLevel } = config;
  return {
    ...{ leaseMs, retentionMs, maxSessionsPerPrincipal, loginsPerPrincipal },
    ...{ transferBandwidthMbps, maxTransfers, maxCalls, prepareMs, logLevel },
  };
}

/** The text that gives a value. */
function textOf({ key }: ChangeableField, values: SettingValues): string {
  const value = values[key];
  return String(key.endsWith("Ms") ? Number(value) / 1000 : value);
}

function without(texts: SettingTexts, names: readonly string[]): SettingTexts {
  return Object.fromEntries(Object.entries(texts).filter(([name]) => !names.includes(name)));
}

function merged(texts: SettingTexts, changes: SettingChanges): SettingTexts {
  const all = Object.entries({ ...texts, ...changes });
  return Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function unknownName(name: string): string {
  const meant = closest(name, publicNames);
  return `'${name}' is not a setting that may change${meant === undefined ? "" : ` (did you mean '${meant}'?)`}`;
}
