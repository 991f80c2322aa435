import { describe, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { oddNames } from "../support/odd-names.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

/** The contract of every `SettingsStore`. Settings count for a whole backend, so each case has one of its own. */
export function settingsStoreContract(backend: TestBackend): void {
  const alone = { ...backend, open: backend.openAlone ?? backend.open };

  describe(`settings store: ${backend.name}`, () => {
    it("has no values until they are set, and then the same in every instance", async () => {
      await using stage = await setStage("settings", alone);
      const { store, second } = stage;
      expect(await store.read()).toEqual({ version: 0, values: {} });
      const first = { version: 1, values: { lease: "300", level: "" } };
      expect(await store.update(0, { lease: "300", level: "" })).toEqual(first);
      expect(await second.read()).toEqual(first);
      const changed = { version: 2, values: { lease: "60", more: "x" } };
      expect(await second.update(1, { lease: "60", level: undefined, none: undefined, more: "x" })).toEqual(
        changed,
      );
      expect(await store.read()).toEqual(changed);
    });

    it("changes nothing for another version", async () => {
      await using stage = await setStage("settings", alone);
      const { store, second } = stage;
      await store.update(0, { a: "1" });
      for (const version of [0, 2]) expect(await second.update(version, { a: "2", b: "3" })).toBeUndefined();
      expect(await store.read()).toEqual({ version: 1, values: { a: "1" } });
      // Of many at the same time one wins.
      const updates = Array.from({ length: 8 }, (_, n) =>
        (n % 2 ? store : second).update(1, { [`n${n}`]: "x" }),
      );
      const won = (await Promise.all(updates)).filter((settings) => settings !== undefined);
      expect(won).toEqual([await store.read()]);
    });

    it("keeps any text under any name", async () => {
      await using stage = await setStage("settings", alone);
      const values = Object.fromEntries(Object.values(oddNames).map((name, n) => [name, `${name} ${n}\n`]));
      await stage.store.update(0, values);
      expect((await stage.second.read()).values).toEqual(values);
    });

    it("announces updates to every watcher, of other instances where it can", async () => {
      await using stage = await setStage("settings", alone);
      const { store, second } = stage;
      let own = 0;
      let others = 0;
      const stop = store.watch(() => own++);
      const stopOther = second.watch(() => others++);
      const isShared = backend.noSharedEnds === undefined;
      await store.update(0, { a: "1" });
      await eventually("the update to be announced", () => own > 0);
      if (isShared) await eventually("the other to hear of it", () => others > 0);
      stop();
      [own, others] = [0, 0];
      await store.update(1, { a: "2" });
      if (isShared) await eventually("the other to hear of the second", () => others > 0);
      expect(own).toBe(0);
      stopOther();
    });
  });
}
