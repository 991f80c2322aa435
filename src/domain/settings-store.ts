/** Named values, as a store keeps them for all processes that use it. */
export interface StoredSettings {
  /** Grows with each update; 0 before the first one. */
  readonly version: number;
  /** Texts by name; a name that was never set, or was reset, is missing. */
  readonly values: Readonly<Record<string, string>>;
}

/** Changes by name; undefined resets a value. */
export type SettingChanges = Readonly<Record<string, string | undefined>>;

/**
 * Settings that may change while processes run. They outlive every process. A store that can't be reached rejects with a
 * ServiceError `downlease.store.unavailable` within a second.
 */
export interface SettingsStore {
  read(): Promise<StoredSettings>;

  /**
   * Makes all changes in one atomic step and returns the new settings, or undefined when there is another version by
   * now, and nothing was changed.
   */
  update(version: number, changes: SettingChanges): Promise<StoredSettings | undefined>;

  /**
   * Announces updates from now on, sooner than the watcher would notice by reading: those of this instance always, those
   * of other processes where the store can. An update may be announced more than once.
   *
   * @returns ends the announcements
   */
  watch(changed: () => void): () => void;
}
