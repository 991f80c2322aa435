import { expect, it } from "vitest";
import type { Backend } from "../../src/domain/backend.ts";
import { eventually } from "../support/eventually.ts";
import type { TestBackend } from "./backends.ts";
import { type Stage, setStage } from "./stage.ts";

/** Announcements of ended sessions. */
export function endsContract(backend: TestBackend): void {
  const { noSharedEnds } = backend;
  const itShared = noSharedEnds === undefined ? it : it.skip;
  /** Starts to watch; resolves when ends will be announced. */
  const begin = async (instance: Backend) => {
    const watching = watch(instance);
    if (noSharedEnds === undefined) await eventually("ends to be announced", () => watching.isReliable);
    return watching;
  };
  const because = noSharedEnds === undefined ? "" : ` (skipped: ${noSharedEnds})`;

  it("are announced to each watcher of the instance that ends the session", async () => {
    await using stage = await setStage("sessionFiles", backend);
    await expectEnds(stage, stage.one, [await begin(stage.one), await begin(stage.one)]);
  });

  itShared(`are announced to another instance${because}`, async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { one, other } = stage;
    await expectEnds(stage, one, [await begin(other), await begin(one), await begin(other)]);
    await expectEnds(stage, other, [await begin(one), await begin(one)]);
  });

  it("are not announced by anything that does not end a session", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice, bob } = stage;
    const watching = await begin(stage.one);
    const spec = stage.newSession();
    const id = (await sessions.create(spec)).id;
    await sessions.create(spec);
    await sessions.keepAlive(id, alice, 100);
    await sessions.finish(id, bob, "CANCELED");
    await sessions.delete(id, bob);
    await files.request(id, alice, "a.vmdk", "HTTPS");
    await sessions.finish(id, alice, "CANCELED");
    await sessions.finish(id, alice, "ERROR", "too late");
    const last = await stage.newSessionId();
    await sessions.delete(last, alice);
    await eventually("the ends", () => watching.ends.includes(id) && watching.ends.includes(last));
    const announced = watching.ends.filter((ended) => ended === id || ended === last);
    expect(announced.toSorted()).toEqual([id, last].toSorted());
    watching.stop();
  });

  it("are not announced to a watcher that has stopped, but to the others", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const [stopped, watching] = [await begin(stage.one), await begin(stage.one)];
    stopped.stop();
    stopped.stop();
    const id = await stage.newSessionId();
    await stage.sessions.finish(id, stage.alice, "CANCELED");
    await eventually("the end", () => watching.ends.includes(id));
    expect(stopped.ends).not.toContain(id);
    watching.stop();
  });
}

/** Cancels, fails and deletes sessions by one instance; fails unless each watcher hears of all of them. */
async function expectEnds(
  { newSessionId, alice, admin }: Stage<"sessionFiles">,
  { sessions }: Backend,
  watchers: readonly Watch[],
): Promise<void> {
  const ids = await Promise.all(Array.from({ length: 5 }, () => newSessionId()));
  const [canceled = "", failed = "", deleted = "", byAdmin = ""] = ids;
  await sessions.finish(canceled, alice, "CANCELED");
  await sessions.finish(failed, alice, "ERROR", "the disk is full");
  await sessions.delete(deleted, alice);
  await sessions.finish(byAdmin, admin, "CANCELED");
  const ended = [canceled, failed, deleted, byAdmin];
  for (const { ends, stop } of watchers) {
    await eventually("the ends to be announced", () => ended.every((id) => ends.includes(id)));
    // In any order: sessions of a cluster are on different nodes.
    expect(new Set(ends.filter((id) => ids.includes(id)))).toEqual(new Set(ended));
    stop();
  }
}

export interface Watch {
  /** Announced so far; other tests may end sessions in the same place. */
  readonly ends: string[];
  readonly isReliable: boolean;
  /** How often the subscription was established. */
  readonly establishments: number;
  stop(): void;
}

export function watch(backend: Pick<Backend, "watchEnds">): Watch {
  const ends: string[] = [];
  let establishments = 0;
  const watching = backend.watchEnds(
    (id) => ends.push(id),
    () => establishments++,
  );
  return {
    ends,
    get isReliable() {
      return watching.isReliable;
    },
    get establishments() {
      return establishments;
    },
    stop: () => watching.stop(),
  };
}
