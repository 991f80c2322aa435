import { describe, expect, it } from "vitest";
import type { SessionChange } from "../../src/domain/session-changes.ts";
import { eventually } from "../support/eventually.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

/** The contract of every `SessionChanges`. Who watches counts for a whole backend, so each case has one of its own. */
export function sessionChangesContract(backend: TestBackend): void {
  const alone = { ...backend, open: backend.openAlone ?? backend.open };

  describe.concurrent(`session changes: ${backend.name}`, () => {
    it("reach every watcher of every process while somebody watches, and then nobody", async () => {
      await using stage = await setStage("sessionChanges", alone);
      const { store, second } = stage;
      store.follow();
      second.follow();
      const heard: SessionChange[][] = [[], []];
      let missed = 0;
      const watches = heard.map((changes) =>
        second.watch({ changed: (some) => void changes.push(...some), missed: () => missed++ }),
      );
      await eventually("the other process to know", () => store.isWatched && second.isWatched);
      await eventually(
        "the moment from which nothing is missing",
        () => missed >= 2 || backend.name === "SQLite in memory",
      );
      const changes: SessionChange[] = [
        { id: "a", kind: "created" },
        { id: "b", kind: "renewed", expiresAt: 7, progress: 50 },
      ];
      await store.publish(changes);
      await second.publish([{ id: "own", kind: "ended" }]);
      for (const each of heard) {
        await eventually("the changes", () => each.length === 3);
        expect(each).toEqual(expect.arrayContaining([...changes, { id: "own", kind: "ended" }]));
      }
      missed = 0;
      await store.publish("missed");
      await eventually("that changes are missing", () => missed === 2);
      for (const watch of watches) watch.stop();
      await store.publish(changes);
      await eventually("nobody to watch", () => !store.isWatched && !second.isWatched);
      expect(heard.map(({ length }) => length)).toEqual([3, 3]);
    });
  });
}
