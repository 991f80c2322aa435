import { ServiceError } from "./errors.ts";
import type { SettingEntry, SettingsSchema, SettingValues } from "./settings-schema.ts";
import type { SettingChanges, SettingsStore, StoredSettings } from "./settings-store.ts";

/** The settings at one moment, as operators see them. */
export interface SettingsState {
  /** Grows with each update; 0 before the first one. */
  readonly version: number;
  readonly entries: readonly SettingEntry[];
}

/** A change that has come into force in this process, whichever process has made it. */
export interface SettingsChange {
  readonly version: number;
  /** The values that differ from those before. */
  readonly changed: Partial<SettingValues>;
  /** Names of stored values that have no meaning for this process. */
  readonly ignored: readonly string[];
}

/** An update that this process has made. */
export interface SettingsUpdate {
  readonly version: number;
  readonly changes: SettingChanges;
  /** Name of the principal. */
  readonly by: string;
}

export interface SettingsOptions {
  readonly store: SettingsStore;
  readonly schema: SettingsSchema;
  /** The values in force, which the settings keep up to date; see `firstValues`. */
  readonly values: SettingValues;
  readonly onChange?: (change: SettingsChange) => void;
  readonly onUpdate?: (update: SettingsUpdate) => void;
}

/** The values until a change of them has been read: an object whose members change, for `SettingsOptions`. */
export function firstValues(schema: SettingsSchema): SettingValues {
  return { ...schema.read({}).values };
}

/** Pause between two readings, in milliseconds: announcements may be missing, and an update counts within two seconds. */
const readMs = 1_000;

/** Updates by others at the same time that one update yields to. */
const maxAttempts = 20;

/**
 * The settings in force in this process. They follow the store within a second or so; while it does not answer they stay
 * as they are.
 */
export class Settings {
  readonly #store: SettingsStore;
  readonly #schema: SettingsSchema;
  readonly #onChange: (change: SettingsChange) => void;
  readonly #onUpdate: (update: SettingsUpdate) => void;
  readonly #followers = new Set<(values: SettingValues) => void>();
  readonly #stopWatch: () => void;
  readonly #timer: NodeJS.Timeout;
  #stored: StoredSettings = { version: 0, values: {} };
  /** Number of those that this process has made. */
  #updates = 0;
  #reading: Promise<void> | undefined;
  #mustReadAgain = false;
  /** One object, whose members change. They are to be read at each use, never kept: that costs no look-up. */
  readonly values: SettingValues;

  private constructor({ store, schema, values, onChange = () => {}, onUpdate = () => {} }: SettingsOptions) {
    this.#store = store;
    this.#schema = schema;
    this.values = values;
    this.#onChange = onChange;
    this.#onUpdate = onUpdate;
    this.#stopWatch = store.watch(() => void this.#read());
    this.#timer = setInterval(() => void this.#read(), readMs).unref();
  }

  /** Resolves when the values are those of the store, or when it is known that it does not answer. */
  static async open(options: SettingsOptions): Promise<Settings> {
    const settings = new Settings(options);
    await settings.#read();
    return settings;
  }

  /** The settings in force. */
  get state(): SettingsState {
    const { version, values } = this.#stored;
    return { version, entries: this.#schema.describe(values) };
  }

  /** Brings those into force that the store has now. Rejects with ServiceError `downlease.store.unavailable`. */
  async refresh(): Promise<void> {
    const updates = this.#updates;
    const stored = await this.#store.read();
    // Otherwise an update has overtaken the reading, and what is in force is newer.
    if (updates === this.#updates) this.#apply(stored);
  }

  /**
   * Changes settings for all processes: all of them, or none. Resolves when they are in force here.
   *
   * @param changes texts by name; undefined takes a change back
   * @param version the version that the caller has read; undefined changes any version
   * @throws ServiceError `downlease.settings.invalid`, `downlease.settings.conflict`
   */
  async update(
    changes: SettingChanges,
    { by, version }: { readonly by: string; readonly version?: number | undefined },
  ): Promise<void> {
    for (let attempts = 0; attempts < maxAttempts; attempts++) {
      const stored = await this.#store.read();
      if (version !== undefined && version !== stored.version) {
        throw new ServiceError("downlease.settings.conflict", [String(stored.version), String(version)]);
      }
      const checked = this.#schema.check(changes, stored.values);
      const updated = await this.#store.update(stored.version, checked);
      if (updated === undefined) continue;
      this.#updates++;
      this.#onUpdate({ version: updated.version, changes: checked, by });
      this.#apply(updated);
      return;
    }
    throw new ServiceError(
      "downlease.store.unavailable",
      [],
      new Error("others change settings all the time"),
    );
  }

  /**
   * Calls a function with the values now, and again after each change. An update with the value that is in force already
   * is a change as well: the version and the sources are others.
   *
   * @returns ends the calls
   */
  follow(follower: (values: SettingValues) => void): () => void {
    this.#followers.add(follower);
    follower(this.values);
    return () => void this.#followers.delete(follower);
  }

  /** The values stay as they are. */
  close(): void {
    this.#stopWatch();
    clearInterval(this.#timer);
    this.#followers.clear();
  }

  /** One reading at a time; what is announced meanwhile is read afterwards. */
  #read(): Promise<void> {
    if (this.#reading !== undefined) this.#mustReadAgain = true;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readAll(): Promise<void> {
    do {
      this.#mustReadAgain = false;
      try {
        await this.refresh();
      } catch {
        // The store monitor reports it; the next tick reads again.
        return;
      }
    } while (this.#mustReadAgain);
  }

  /** An older version counts as well: a failover may have lost the newer one. */
  #apply(stored: StoredSettings): void {
    if (isSame(stored, this.#stored)) return;
    this.#stored = stored;
    const { values, ignored } = this.#schema.read(stored.values);
    const changed = Object.entries(values).filter(
      ([name, value]) => this.values[name as keyof SettingValues] !== value,
    );
    Object.assign(this.values, values);
    for (const follower of this.#followers) follower(this.values);
    this.#onChange({ version: stored.version, changed: Object.fromEntries(changed), ignored });
  }
}

/** Versions are not enough: after a failover another update may have got the number of a lost one. */
function isSame(a: StoredSettings, b: StoredSettings): boolean {
  const names = Object.keys(a.values);
  return (
    a.version === b.version &&
    names.length === Object.keys(b.values).length &&
    names.every((name) => a.values[name] === b.values[name])
  );
}
