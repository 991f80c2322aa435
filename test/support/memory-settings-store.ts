import type { SettingChanges, SettingsStore, StoredSettings } from "../../src/domain/settings-store.ts";

/** Settings in this process, which a test may change as another process would. */
export class MemorySettingsStore implements SettingsStore {
  stored: StoredSettings = { version: 0, values: {} };
  /** Announces an update. */
  announce = () => {};

  async read(): Promise<StoredSettings> {
    return this.stored;
  }

  async update(version: number, changes: SettingChanges): Promise<StoredSettings | undefined> {
    if (version !== this.stored.version) return undefined;
    const texts = Object.entries({ ...this.stored.values, ...changes });
    const values = texts.filter((entry): entry is [string, string] => entry[1] !== undefined);
    this.stored = { version: version + 1, values: Object.fromEntries(values) };
    return this.stored;
  }

  watch(changed: () => void): () => void {
    this.announce = changed;
    return () => {};
  }
}
