import type { SettingSource } from "../domain/settings-schema.ts";
import { fieldSettings, type SettingName } from "./settings.ts";

/** The text of a setting, and where it comes from. */
export interface Origin {
  readonly source: SettingSource;
  /** As messages name it. */
  readonly label: string;
  /** Empty when there is a mistake. */
  readonly text: string;
  readonly mistake?: string;
}

/** Of the settings that are not left out. */
export type Origins = ReadonlyMap<SettingName, Origin>;

interface Group {
  [key: string]: Group | string;
}

/** The texts at the paths of their settings. Every group is there, even an empty one. */
export function inputFrom(textOf: (name: SettingName) => string | undefined): Group {
  const input: Group = {};
  for (const { name, path } of fieldSettings) {
    let group = input;
    for (const key of path.slice(0, -1)) {
      group[key] ??= {};
      group = group[key] as Group;
    }
    const text = textOf(name);
    if (text !== undefined) group[path.at(-1)!] = text;
  }
  return input;
}
