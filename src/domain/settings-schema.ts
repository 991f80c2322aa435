import type { SettingChanges } from "./settings-store.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

/** The settings that may change while the service runs. Lengths of time in milliseconds. */
export interface SettingValues {
  /** How long a session lives without a renewal. */
  readonly leaseMs: number;
  /** How long a session can still be read after it was canceled or failed. */
  readonly retentionMs: number;
  /** How many sessions a principal may have, in any state; 0: any number. */
  readonly maxSessionsPerPrincipal: number;
  /** How many login sessions a principal may open in a minute; 0: any number. */
  readonly loginsPerPrincipal: number;
  /** Limit of all downloads together, in Mbit/s; 0: unlimited. */
  readonly transferBandwidthMbps: number;
  /** Downloads at a time that a process serves. */
  readonly maxTransfers: number;
  /** Weight of the calls in flight that a process serves. */
  readonly maxCalls: number;
  /** How long after its request a file is given out unverified. */
  readonly prepareMs: number;
  /** Minimum level of the log. */
  readonly logLevel: LogLevel;
}

/** Texts of settings by their names, for example `lease_seconds`: those that were changed while a service ran. */
export type SettingTexts = Readonly<Record<string, string>>;

/** Where a value comes from; `changed`: from an update while the service ran. */
export type SettingSource = "default" | "flag" | "variable" | "file" | "changed";

/** One setting, as operators see it. */
export interface SettingEntry {
  /** For example `lease_seconds`. */
  readonly name: string;
  /** The value in force. */
  readonly value: string;
  readonly source: SettingSource;
  /** The value that is in force when the change is taken back. */
  readonly firstValue: string;
  readonly description: string;
  readonly unit?: string;
  readonly min?: number;
  readonly max?: number;
  /** Every value that a text may have. */
  readonly choices?: readonly string[];
}

/** What the declaration of the settings says about them, and with which values this process was started. */
export interface SettingsSchema {
  /**
   * The values in force after these changes. A text that is not valid, as another release may have written it, and a name
   * that is none of a setting are ignored.
   */
  read(changed: SettingTexts): { readonly values: SettingValues; readonly ignored: readonly string[] };

  /** Every setting that may change, with these changes. */
  describe(changed: SettingTexts): readonly SettingEntry[];

  /**
   * Checks changes of settings that were changed before, and returns them as they are stored.
   *
   * @throws ServiceError `downlease.settings.invalid`, with all mistakes
   */
  check(changes: SettingChanges, changed: SettingTexts): SettingChanges;
}
