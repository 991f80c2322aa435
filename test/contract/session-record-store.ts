import { describe, expect, it } from "vitest";
import type { SessionPageRequest, SessionRecord } from "../../src/domain/session-record-store.ts";
import { eventually } from "../support/eventually.ts";
import { longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { setStage } from "./stage.ts";

type Stage = Awaited<ReturnType<typeof records>>;

const records = (backend: TestBackend) => setStage("sessionRecords", backend);

/** What every store of session records must do. Tests share a database: a walk over all sessions has those of others. */
export function sessionRecordStoreContract(backend: TestBackend): void {
  describe(`session record store: ${backend.name}`, () => {
    recordContract(backend);
    walkContract(backend);
    cursorContract(backend);
  });
}

function recordContract(backend: TestBackend): void {
  it("has what the other stores know of a session", async () => {
    await using stage = await records(backend);
    const from = await stage.now();
    const created = await stage.sessions.create(stage.newSession());
    const to = await stage.now();
    const [fresh] = await stage.store.find([created.id]);
    const { createdAt, ...rest } = fresh!;
    expect(rest).toEqual({ ...created, bytesSent: 0 });
    expect(createdAt).toBeGreaterThanOrEqual(from);
    expect(createdAt).toBeLessThanOrEqual(to);

    const { sessions, one, alice } = stage;
    await sessions.keepAlive(created.id, alice, 40);
    await one.sessionFiles.recordSent(created.id, sent({ "a.vmdk": 700, "b.vmdk": 50 }));
    await one.sessionFiles.recordSent(created.id, sent({ "a.vmdk": 300 }));
    await sessions.finish(created.id, alice, "ERROR", "disk full");
    const now = (await sessions.get(created.id, alice))!;
    const latest = { ...now, createdAt, bytesSent: 1_050 };
    expect(await stage.second.find([created.id])).toEqual([latest]);
    expect(await everything(stage, { owner: alice.principal })).toEqual([latest]);
  });

  it("finds sessions in the order of the ids, and nothing for those that do not exist", async () => {
    await using stage = await records(backend);
    const ids = await Promise.all(Array.from({ length: 150 }, () => stage.newSessionId()));
    await stage.sessions.delete(ids[3]!, stage.alice);
    const found = await stage.store.find(["no such session", ...ids]);
    const expected = [undefined, ...ids.map((id) => (id === ids[3] ? undefined : id))];
    expect(found.map((session) => session?.id)).toEqual(expected);
    expect(await stage.store.find([])).toEqual([]);
  });

  it("counts bytes up to the greatest integer that readers represent", async () => {
    await using stage = await records(backend);
    const id = await stage.newSessionId();
    const most = Number.MAX_SAFE_INTEGER;
    await stage.one.sessionFiles.recordSent(id, sent({ a: most, b: 7 }));
    expect((await stage.store.find([id]))[0]?.bytesSent).toBe(most);
  });

  it("records addresses of clients, renews nothing, and skips sessions that are gone", async () => {
    await using stage = await records(backend);
    const [id, gone] = [await stage.newSessionId(), await stage.newSessionId()];
    await stage.sessions.delete(gone, stage.alice);
    const before = (await stage.sessions.get(id, stage.alice))!;
    const addresses = [
      [id, "192.0.2.7"],
      [gone, "192.0.2.8"],
    ] as const;
    await stage.store.recordClients(new Map(addresses));
    expect((await stage.second.find([id, gone])).map((each) => each?.clientAddress)).toEqual([
      "192.0.2.7",
      undefined,
    ]);
    await stage.second.recordClients(new Map([[id, "2001:db8::9"]]));
    expect((await stage.store.find([id]))[0]?.clientAddress).toBe("2001:db8::9");
    expect(await stage.sessions.get(id, stage.alice)).toEqual(before);
    // Nor do they leave anything to a session that gets the id.
    await stage.sessions.create(stage.newSession({ id: gone }));
    expect((await stage.store.find([gone]))[0]?.clientAddress).toBeUndefined();
  });
}

function walkContract(backend: TestBackend): void {
  it.each([1, 7, 100, 1_000])(
    "pages of at most %d have each session of an owner once",
    async (maxSessions) => {
      await using stage = await records(backend);
      // More than the index of an owner keeps in one piece.
      const ids = await createMany(stage, maxSessions === 1 ? 40 : 300);
      const { store, alice } = stage;
      const seen: string[] = [];
      for await (const page of pagesOf(store, { owner: alice.principal, maxSessions })) {
        expect(page.length).toBeLessThanOrEqual(maxSessions);
        seen.push(...page.map(({ id }) => id));
      }
      expect(seen.sort()).toEqual(ids);
    },
  );

  it("a walk over all sessions has those of every owner", async () => {
    await using stage = await records(backend);
    const ids = await createMany(stage, 200);
    const { id: others } = await stage.sessions.create(stage.newSession({ owner: stage.bob.principal }));
    const all = await everything(stage, { maxSessions: 50 });
    const seen = new Set(all.map(({ id }) => id));
    expect([...ids, others].filter((id) => !seen.has(id))).toEqual([]);
  });

  it("returns those that match, in pages that may be empty", async () => {
    await using stage = await records(backend);
    const ids = await createMany(stage, 200);
    const wanted = ids.filter((_, index) => index % 40 === 0);
    await Promise.all(wanted.map((id) => stage.sessions.finish(id, stage.alice, "CANCELED")));
    const { principal } = stage.alice;
    const matches = (session: SessionRecord) => session.owner === principal && session.state === "CANCELED";
    for (const owner of [principal, undefined]) {
      const matching = await everything(stage, { owner, matches, maxSessions: 2 });
      expect([...new Set(matching.map(({ id }) => id))].sort()).toEqual(wanted);
    }
    expect(await everything(stage, { owner: principal, matches: () => false })).toEqual([]);
  });

  it("has no session that is gone", async () => {
    await using stage = await setStage("sessionRecords", backend, {
      leaseTerms: { ...longLeaseTerms, leaseMs: 30 },
    });
    const [id, deleted] = [await stage.newSessionId(), await stage.newSessionId()];
    await stage.sessions.delete(deleted, stage.alice);
    await eventually("the session to expire", async () => (await stage.store.find([id]))[0] === undefined);
    expect(await everything(stage, { owner: stage.alice.principal })).toEqual([]);
    expect((await everything(stage, {})).filter((each) => each.id === id)).toEqual([]);
  });

  it("has a session whose id was given to another owner only among those of that one", async () => {
    const briefTerms = { leaseTerms: { ...longLeaseTerms, leaseMs: 30 } };
    await using stage = await setStage("sessionRecords", backend, briefTerms, { leaseTerms: longLeaseTerms });
    const { alice, bob, store, other } = stage;
    const id = await stage.newSessionId();
    await eventually("the session to expire", async () => (await store.find([id]))[0] === undefined);
    await other.sessions.create(stage.newSession({ id, owner: bob.principal }));
    expect(await everything(stage, { owner: alice.principal })).toEqual([]);
    expect(await everything(stage, { owner: bob.principal })).toMatchObject([{ id }]);
  });

  it("has every session that stays while others come and go", async () => {
    await using stage = await records(backend);
    const ids = await createMany(stage, 300);
    const [staying, leaving] = [ids.slice(0, 60), ids.slice(60)];
    const seen = new Set<string>();
    for (const owner of [stage.alice.principal, undefined]) {
      seen.clear();
      for await (const page of pagesOf(stage.store, { owner, maxSessions: 20 })) {
        for (const { id } of page) seen.add(id);
        const some = leaving.splice(0, 20);
        await Promise.all(some.map((id) => stage.sessions.delete(id, stage.alice)));
        await stage.newSessionId();
      }
      expect(staying.filter((id) => !seen.has(id))).toEqual([]);
    }
  });
}

function cursorContract(backend: TestBackend): void {
  it.each([
    "",
    "x",
    "-1",
    "0 0 0",
    "99999 abc 0 0 ",
    "0 abc 99999999999999999999 0 ",
    "0 abc 0 1001 ",
    "1e3",
    "9".repeat(30),
    "9".repeat(5_000),
  ])("refuses what is no cursor: %j", async (cursor) => {
    await using stage = await records(backend);
    await expect(stage.store.page({ cursor, maxSessions: 10 })).rejects.toMatchObject({
      messageId: "downlease.page.token",
    });
  });
}

function sent(bytes: Record<string, number>): ReadonlyMap<string, number> {
  return new Map(Object.entries(bytes));
}

/** The sorted ids of new sessions of alice. */
async function createMany(stage: Stage, count: number): Promise<string[]> {
  return (await Promise.all(Array.from({ length: count }, () => stage.newSessionId()))).sort();
}

async function everything({ store }: Stage, request: Partial<SessionPageRequest>): Promise<SessionRecord[]> {
  const all: SessionRecord[] = [];
  for await (const page of pagesOf(store, { maxSessions: 100, ...request })) all.push(...page);
  return all;
}

async function* pagesOf(store: Stage["store"], request: SessionPageRequest) {
  for (let cursor: string | undefined; ; ) {
    const page = await store.page({ ...request, cursor });
    yield page.sessions;
    if (page.cursor === undefined) return;
    cursor = page.cursor;
  }
}
