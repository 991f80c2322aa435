import { ServiceError } from "./errors.ts";
import type { SettingsStore, SettingsWatch, StoredSettings } from "./settings-store.ts";

/** The settings that may change while the service runs. A new one is a member here and a row in `codecs`. */
export interface SettingValues {
  /** Limit of all downloads together, in Mbit/s; 0: unlimited. */
  readonly transferBandwidthMbps: number;
}

interface Codec<T> {
  format(value: T): string;
  /** Undefined for a text that is no value, as another release may have written it. */
  parse(text: string): T | undefined;
}

export const maxBandwidthMbps = 1_000_000;

/** How stores keep the values. */
const codecs: { readonly [Name in keyof SettingValues]: Codec<SettingValues[Name]> } = {
  transferBandwidthMbps: wholeNumber(0, maxBandwidthMbps),
};

export interface SettingsOptions {
  readonly store: SettingsStore;
  /** What counts until a value is changed. */
  readonly first: SettingValues;
  /** Called with the values that have come into force in this process. */
  readonly onChange?: (changed: Partial<SettingValues>) => void;
}

/** Pause between two readings while updates may not be announced, and while they are. Milliseconds. */
const readMs = 1_000;
const reliableReadMs = 15_000;

/** Updates by others at the same time that one update yields to. */
const maxAttempts = 20;

/**
 * The settings in force in this process. They follow the store within a second or so; while it does not answer they stay
 * as they are.
 */
export class Settings {
  readonly #store: SettingsStore;
  readonly #first: SettingValues;
  readonly #onChange: (changed: Partial<SettingValues>) => void;
  readonly #watch: SettingsWatch;
  readonly #timer: NodeJS.Timeout;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  #mustReadAgain = false;
  /** To be read at each use, never kept: it costs no look-up. */
  values: SettingValues;

  private constructor({ store, first, onChange = () => {} }: SettingsOptions) {
    this.#store = store;
    this.#first = first;
    this.#onChange = onChange;
    this.values = first;
    this.#watch = store.watch(() => void this.#read());
    this.#timer = setInterval(() => this.#tick(), readMs).unref();
  }

  /** Resolves when the values are those of the store, or when it is known that it does not answer. */
  static async open(options: SettingsOptions): Promise<Settings> {
    const settings = new Settings(options);
    await settings.#read();
    return settings;
  }

  /** The values that the store has now. Rejects with ServiceError `downlease.store.unavailable`. */
  async current(): Promise<SettingValues> {
    this.#apply(await this.#store.read());
    return this.values;
  }

  /** Changes values for all processes; resolves when they are in force here. Rejects with ServiceError. */
  async update(changes: Partial<SettingValues>): Promise<void> {
    const texts = Object.fromEntries(
      Object.entries(changes).map(([name, value]) => [
        name,
        codecs[name as keyof SettingValues].format(value),
      ]),
    );
    for (let attempts = 0; attempts < maxAttempts; attempts++) {
      const { version } = await this.#store.read();
      const updated = await this.#store.update(version, texts);
      if (updated === undefined) continue;
      this.#apply(updated);
      return;
    }
    throw new ServiceError(
      "downlease.store.unavailable",
      [],
      new Error("others change settings all the time"),
    );
  }

  /** The values stay as they are. */
  close(): void {
    this.#watch.stop();
    clearInterval(this.#timer);
  }

  #tick(): void {
    const pauseMs = this.#watch.isReliable ? reliableReadMs : readMs;
    // Ticks are not exact.
    if (performance.now() - this.#readAt >= pauseMs - readMs / 2) void this.#read();
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
      this.#readAt = performance.now();
      try {
        this.#apply(await this.#store.read());
      } catch {
        // The store monitor reports it; the next tick reads again.
        this.#readAt = Number.NEGATIVE_INFINITY;
        return;
      }
    } while (this.#mustReadAgain);
  }

  /** An older version counts as well: a failover may have lost the newer one. */
  #apply({ values: texts }: StoredSettings): void {
    const before = this.values;
    const values = { ...this.#first };
    for (const [name, codec] of Object.entries(codecs)) {
      const value = texts[name] === undefined ? undefined : codec.parse(texts[name]);
      if (value !== undefined) values[name as keyof SettingValues] = value;
    }
    const changed = Object.entries(values).filter(
      ([name, value]) => before[name as keyof SettingValues] !== value,
    );
    if (changed.length === 0) return;
    this.values = values;
    this.#onChange(Object.fromEntries(changed));
  }
}

function wholeNumber(min: number, max: number): Codec<number> {
  return {
    format: String,
    parse(text) {
      const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}
