import { expect, it } from "vitest";
import type { Backend } from "../../src/domain/backend.ts";
import { eventually } from "../support/eventually.ts";
import type { TestBackend } from "./backends.ts";
import { type Stage, setStage } from "./stage.ts";

/** Who is told of the end of sessions. */
export function endsContract(backend: TestBackend): void {
  const { noSharedEnds } = backend;
  const itTold = noSharedEnds === undefined ? it : it.skip;
  /** Watches, and is told of everything that it is ever told of. */
  const begin = async (instance: Backend) => {
    const watching = watch(instance);
    if (noSharedEnds === undefined) await eventually("ends to be told", () => watching.isReliable);
    return watching;
  };
  const because = noSharedEnds === undefined ? "" : ` (skipped: ${noSharedEnds})`;

  it("tells the process that ends a session of it, each that watches", async () => {
    await using stage = await setStage("sessionFiles", backend);
    await expectEnds(stage, stage.one, [await begin(stage.one), await begin(stage.one)]);
  });

  itTold(`tells another instance of a session that ends${because}`, async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { one, other } = stage;
    await expectEnds(stage, one, [await begin(other), await begin(one), await begin(other)]);
    await expectEnds(stage, other, [await begin(one), await begin(one)]);
  });

  it("tells nothing of what does not end a session", async () => {
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
    const told = watching.ends.filter((ended) => ended === id || ended === last);
    expect(told.toSorted()).toEqual([id, last].toSorted());
    watching.stop();
  });

  it("tells nothing to one who has stopped to watch, and goes on with the others", async () => {
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

/** Cancels, fails and deletes sessions by one instance, and fails unless all who watch are told. */
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
    await eventually("the ends to be told", () => ended.every((id) => ends.includes(id)));
    // In any order: sessions of a cluster are on different nodes.
    expect(new Set(ends.filter((id) => ids.includes(id)))).toEqual(new Set(ended));
    stop();
  }
}

export interface Watch {
  /** Told so far; other tests may end sessions in the same store. */
  readonly ends: string[];
  readonly isReliable: boolean;
  /** How often it was told that ends are told from now on. */
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
