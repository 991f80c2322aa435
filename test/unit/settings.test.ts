import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SettingValuesSchema } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { openSettings } from "../../src/app/settings.ts";
import { Admission } from "../../src/calls/admission.ts";
import { loadConfig } from "../../src/config/load.ts";
import { settings as allSettings } from "../../src/config/settings.ts";
import { firstValues, Settings, type SettingsOptions } from "../../src/domain/settings.ts";
import type { StoredSettings } from "../../src/domain/settings-store.ts";
import { MemorySettingsStore } from "../support/memory-settings-store.ts";

const by = "root";
let store: MemorySettingsStore;
let settings: Settings;

async function open(
  flags: Record<string, string> = {},
  environment: Record<string, string> = {},
  more: Partial<SettingsOptions> = {},
): Promise<Settings> {
  const { changeable: schema } = loadConfig({ flags: { contentRoot: "library", ...flags }, environment });
  return Settings.open({ store, schema, values: firstValues(schema), ...more });
}

beforeEach(async () => {
  store = new MemorySettingsStore();
  settings = await open();
});
afterEach(() => settings.close());

/** A value and its source, by name. */
const shown = () =>
  Object.fromEntries(settings.state.entries.map(({ name, value, source }) => [name, [value, source]]));

async function messageOf(changes: Record<string, string | undefined>): Promise<string> {
  return settings.update(changes, { by }).then(
    () => "",
    (error) => `${error.messageId}: ${error.message}`,
  );
}

describe("the declaration", () => {
  test("the settings that may change are those of the interface, and no secret is among them", () => {
    const names = settings.state.entries.map(({ name }) => name);
    expect(names.toSorted()).toEqual(SettingValuesSchema.fields.map(({ name }) => name).toSorted());
    for (const { changeable, secret } of allSettings) expect(changeable && secret).toBeFalsy();
  });

  test("says what the values may be", () => {
    const { entries } = settings.state;
    const entry = (wanted: string) => entries.find(({ name }) => name === wanted);
    expect(entry("lease_seconds")).toEqual({
      name: "lease_seconds",
      value: "300",
      firstValue: "300",
      source: "default",
      description: "lifetime of a session without a keep-alive",
      unit: "seconds",
      min: 0.001,
      max: 2_592_000,
    });
    expect(entry("transfer_bandwidth_mbps")).toMatchObject({ unit: "Mbit/s", min: 0, max: 1_000_000 });
    expect(entry("log_level")).toMatchObject({ choices: expect.arrayContaining(["trace", "silent"]) });
  });

  test("says where the values come from", async () => {
    settings.close();
    settings = await open(
      { leaseSeconds: "60.50", maxCalls: "7" },
      { DOWNLEASE_MAX_CALLS: "8", DOWNLEASE_LOG_LEVEL: "warn", DOWNLEASE_PREPARE_SECONDS: "" },
    );
    await settings.update({ max_transfers: "5", lease_seconds: "20" }, { by });
    expect(shown()).toMatchObject({
      lease_seconds: ["20", "changed"],
      retention_seconds: ["20", "default"],
      max_calls: ["7", "flag"],
      log_level: ["warn", "variable"],
      prepare_seconds: ["10", "default"],
      max_transfers: ["5", "changed"],
    });
    const first = settings.state.entries.map(({ name, firstValue }) => [name, firstValue]);
    expect(Object.fromEntries(first)).toMatchObject({ lease_seconds: "60.5", max_transfers: "1000" });
  });
});

describe("changes", () => {
  test("are in force in the one object of values, and taken back by name", async () => {
    const { values } = settings;
    await settings.update({ lease_seconds: "1.5", max_sessions_per_principal: "0" }, { by });
    expect(values).toMatchObject({ leaseMs: 1500, retentionMs: 1500, maxSessionsPerPrincipal: 0 });
    await settings.update({ retention_seconds: "7", lease_seconds: "2" }, { by });
    expect(values).toMatchObject({ leaseMs: 2000, retentionMs: 7000 });
    await settings.update({ retention_seconds: undefined, log_level: undefined }, { by });
    expect(values).toMatchObject({ leaseMs: 2000, retentionMs: 2000 });
    expect([settings.values, settings.state.version]).toEqual([values, 3]);
  });

  test("are all made or none, and all mistakes are reported", async () => {
    expect(
      await messageOf({ max_calls: "5", lease_seconds: "-1", log_level: "loud", leese_seconds: undefined }),
    ).toBe(
      "downlease.settings.invalid: 'leese_seconds' is not a setting that may change (did you mean 'lease_seconds'?); 'lease_seconds' must be a number of seconds from 0.001 to 2592000; 'log_level' must be one of trace, debug, info, warn, error, fatal, silent. Nothing was changed.",
    );
    expect(store.stored.version).toBe(0);
  });

  test.each([
    "NaN",
    "Infinity",
    "-1",
    "1e400",
    "1e21",
    "1e-7",
    "0",
    "0.0001",
    "2592001",
    "",
    " ",
    "60s",
    "0x10",
  ])("a lease of %j is refused", async (text) =>
    expect(await messageOf({ lease_seconds: text })).toMatch(/^downlease.settings.invalid/),
  );

  test.each(["NaN", "-1", "1.5", "9223372036854775807", "0", ""])("%j calls are refused", async (text) =>
    expect(await messageOf({ max_calls: text })).toMatch(/'max_calls' must be a whole number/),
  );

  test.each(["__proto__", "constructor", "redis_url", "leaseSeconds", "port"])(
    "%s is no setting that may change",
    async (name) => {
      expect(await messageOf(Object.fromEntries([[name, undefined]]))).toContain(
        `'${name}' is not a setting`,
      );
      expect(await messageOf(Object.fromEntries([[name, "1"]]))).toContain(`'${name}' is not a setting`);
    },
  );

  test("of another version are refused, and without one they follow those of others", async () => {
    await settings.update({ max_calls: "5" }, { by, version: 0 });
    await expect(settings.update({ max_calls: "6" }, { by, version: 0 })).rejects.toMatchObject({
      messageId: "downlease.settings.conflict",
      args: ["1", "0"],
    });
    const { read } = store;
    // Another process is faster, once.
    store.read = async () => {
      store.read = read;
      const old = store.stored;
      await store.update(old.version, { max_transfers: "9" });
      return old;
    };
    await settings.update({ max_calls: "7" }, { by });
    expect(settings.values).toMatchObject({ maxCalls: 7, maxTransfers: 9 });
  });

  test("that another release has stored count as far as they are valid here", async () => {
    const onChange = vi.fn();
    settings.close();
    store.stored = {
      version: 4,
      values: { lease_seconds: "forever", max_calls: "6", color: "red", log_level: "loud" },
    };
    settings = await open({}, {}, { onChange });
    expect(settings.values).toMatchObject({ leaseMs: 300_000, maxCalls: 6, logLevel: "info" });
    expect(onChange.mock.calls).toEqual([
      [{ version: 4, changed: { maxCalls: 6 }, ignored: ["lease_seconds", "color", "log_level"] }],
    ]);
    expect(shown()).toMatchObject({ lease_seconds: ["300", "default"], max_calls: ["6", "changed"] });
    // They do not keep others from being changed, and can be taken back.
    await settings.update({ max_transfers: "3", lease_seconds: undefined }, { by });
    expect(store.stored.values).toEqual({
      max_calls: "6",
      max_transfers: "3",
      color: "red",
      log_level: "loud",
    });
  });
});

test("followers are called at once and after each change, by any process, until they stop", async () => {
  const seen: [number, number][] = [];
  const stop = settings.follow(({ leaseMs }) => seen.push([settings.state.version, leaseMs]));
  await settings.update({ lease_seconds: "9" }, { by });
  await settings.update({ lease_seconds: "9" }, { by });
  await store.update(2, { lease_seconds: "8" });
  store.announce();
  await vi.waitFor(() => expect(seen).toHaveLength(4));
  stop();
  await settings.update({ lease_seconds: "7" }, { by });
  expect(seen).toEqual([
    [0, 300_000],
    [1, 9000],
    [2, 9000],
    [3, 8000],
  ]);
});

test("a reading that an update has overtaken does not count", async () => {
  const { read } = store;
  const late = Promise.withResolvers<StoredSettings>();
  const old = store.stored;
  store.read = () => {
    store.read = read;
    return late.promise;
  };
  const refreshed = settings.refresh();
  await settings.update({ lease_seconds: "9" }, { by });
  late.resolve(old);
  await refreshed;
  expect(settings.values.leaseMs).toBe(9000);
});

test("a failover that loses an update is followed, also to another one of the same number", async () => {
  await settings.update({ lease_seconds: "9" }, { by });
  store.stored = { version: 1, values: { lease_seconds: "5" } };
  await settings.refresh();
  expect(settings.values.leaseMs).toBe(5000);
  store.stored = { version: 0, values: {} };
  await settings.refresh();
  expect(settings.values.leaseMs).toBe(300_000);
});

test("parts of the service that compute from the values follow", async () => {
  const config = loadConfig({ flags: { contentRoot: "library", maxCalls: "10" }, environment: {} });
  const admission = new Admission(10);
  const setMaxDownloads = vi.fn();
  const reportLogLevel = vi.fn();
  const lines: string[] = [];
  const log = pino({ level: "info" }, { write: (line) => void lines.push(line) });
  const parts = { backend: { settings: store }, admission, downloads: { setMaxDownloads }, log };
  const program = { worker: 1, reportStatus() {}, reportLogLevel };
  const opened = await openSettings(config, firstValues(config.changeable), { ...parts, program });
  await opened.update({ max_calls: "100", max_transfers: "9", log_level: "debug" }, { by });
  const [busy, other] = [{ load: 1 }, { load: 1 }];
  expect(admission.enter(busy, 50)).toBe(true);
  admission.leave(busy, 50);
  await opened.update({ log_level: undefined, max_calls: undefined }, { by });
  opened.close();
  expect([admission.enter(busy, 8), admission.enter(other, 1)]).toEqual([true, false]);
  expect(setMaxDownloads.mock.calls).toEqual([[1000], [9], [9]]);
  expect([log.level, reportLogLevel.mock.calls]).toEqual(["info", [["debug"], ["info"]]]);
  const logged = lines.map((line) => JSON.parse(line));
  expect(logged.map(({ msg }) => msg)).toEqual(
    Array(2).fill(["settings were updated", "settings have changed"]).flat(),
  );
  expect(logged[2]).toMatchObject({ by, version: 2, changes: { log_level: null, max_calls: null } });
});
