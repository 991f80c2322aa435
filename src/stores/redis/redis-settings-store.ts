import { EventEmitter } from "node:events";
import type { SettingChanges, SettingsStore, StoredSettings } from "../../domain/settings-store.ts";
import type { RedisConnection } from "./connection.ts";
import { settingsChannel, settingsKey } from "./keys.ts";
import { type Reply, script, unexpected } from "./scripts.ts";
import type { Subscription } from "./subscriber.ts";

const readScript = script<undefined, StoredSettings>("readSettings-1", {
  key: () => settingsKey,
  args: () => [],
  output: settingsOf,
});

const updateScript = script<
  { readonly version: number; readonly changes: SettingChanges },
  StoredSettings | undefined
>("updateSettings-1", {
  key: () => settingsKey,
  args: ({ version, changes }) => {
    const entries = Object.entries(changes);
    const set = entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
    const reset = entries.flatMap(([name, value]) => (value === undefined ? [name] : []));
    return [version, settingsChannel, set.length, ...set.flat(), ...reset];
  },
  output: (reply) => (reply[0] === "OUTDATED" ? undefined : settingsOf(reply)),
});

/** One hash without a TTL. */
export class RedisSettingsStore implements SettingsStore {
  readonly #redis: RedisConnection;
  readonly #watchers = new EventEmitter<{ changed: [] }>().setMaxListeners(0);
  /** Starts with the first watcher, and stays. */
  #updates: Subscription | undefined;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  read(): Promise<StoredSettings> {
    return this.#redis.run(readScript, undefined);
  }

  update(version: number, changes: SettingChanges): Promise<StoredSettings | undefined> {
    return this.#redis.run(updateScript, { version, changes });
  }

  watch(changed: () => void): () => void {
    this.#watchers.on("changed", changed);
    const announce = () => this.#watchers.emit("changed");
    // Updates before it was established may not have been announced.
    this.#updates ??= this.#redis.subscriber.listen(settingsChannel, {
      heard: announce,
      established: announce,
    });
    return () => void this.#watchers.off("changed", changed);
  }
}

function settingsOf([tag, version, ...parts]: Reply): StoredSettings {
  if (tag !== "OK") throw unexpected(tag);
  const texts = parts.map(String);
  const names = texts.filter((_, index) => index % 2 === 0);
  const values = Object.fromEntries(names.map((name, index) => [name, texts[2 * index + 1]!]));
  return { version: Number(version), values };
}
