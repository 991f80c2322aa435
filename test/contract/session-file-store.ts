import { describe, expect, it } from "vitest";
import type { FinalState } from "../../src/domain/session.ts";
import { eventually } from "../support/eventually.ts";
import { oddNames } from "../support/odd-names.ts";
import { briefLeaseTerms, longLeaseTerms } from "../support/terms.ts";
import type { TestBackend } from "./backends.ts";
import { endsContract } from "./session-file-store-ends.ts";
import { expectLease, notFound, setStage } from "./stage.ts";

const aWhile = expect.any(Number);
const finalStates: FinalState[] = ["CANCELED", "ERROR"];

/** What every store of sessions' files must do. */
export function sessionFileStoreContract(backend: TestBackend): void {
  describe(`session file store: ${backend.name}`, () => {
    requestContract(backend);
    recordSentContract(backend);
    visibilityContract(backend);
    lifeContract(backend);
    endsContract(backend);
  });
}

function requestContract(backend: TestBackend): void {
  it("has no file of a session until one is requested", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const session = await stage.sessions.create(stage.newSession());
    expect(await stage.store.files(session.id, stage.alice)).toEqual({ session, files: new Map() });
  });

  it("counts the time from the first request of a file, in every instance", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, second, alice } = stage;
    const id = await stage.newSessionId();
    const ages = async (store: typeof files) =>
      ["a.vmdk", "b.vmdk"].map(
        async (name) => (await store.files(id, alice))!.files.get(name)?.requestedForMs,
      );
    const from = performance.now();
    await files.request(id, alice, "a.vmdk", "HTTPS");
    await new Promise((resolve) => setTimeout(resolve, 60));
    await second.request(id, alice, "a.vmdk", "DIRECT");
    await files.request(id, alice, "b.vmdk", "HTTPS");
    for (const store of [files, second]) {
      const [first, last] = (await Promise.all(await ages(store))) as [number, number];
      const elapsedMs = performance.now() - from;
      // The clock of a store may count whole milliseconds.
      expect(first).toBeGreaterThanOrEqual(58);
      expect(first).toBeLessThanOrEqual(elapsedMs + 2);
      expect(last).toBeLessThanOrEqual(first - 50);
    }
  });

  it("keeps the endpoint type that was requested last, file by file", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, alice } = stage;
    const id = await stage.newSessionId();
    await files.request(id, alice, "a.vmdk", "HTTPS");
    await files.request(id, alice, "b.vmdk", "DIRECT");
    await files.request(id, alice, "c.vmdk", "HTTPS");
    await files.request(id, alice, "c.vmdk", "DIRECT");
    await files.request(id, alice, "b.vmdk", "HTTPS");
    expect((await files.files(id, alice))!.files).toEqual(
      new Map([
        ["a.vmdk", { requested: "HTTPS", requestedForMs: aWhile, bytesSent: 0 }],
        ["b.vmdk", { requested: "HTTPS", requestedForMs: aWhile, bytesSent: 0 }],
        ["c.vmdk", { requested: "DIRECT", requestedForMs: aWhile, bytesSent: 0 }],
      ]),
    );
  });

  it("renews the lease with a request, and leaves the rest of the session alone", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice, now } = stage;
    const created = await sessions.create(stage.newSession());
    await sessions.keepAlive(created.id, alice, 40);
    const from = await now();
    const renewal = await files.request(created.id, alice, "a.vmdk", "HTTPS");
    if (renewal.outcome !== "renewed") throw new Error(renewal.outcome);
    expectLease(renewal.expiresAt, longLeaseTerms.leaseMs, from, await now());
    expect(renewal.progress).toBe(40);
    const { expiresAt } = renewal;
    expect(await sessions.get(created.id, alice)).toEqual({ ...created, progress: 40, expiresAt });
  });

  it("does not renew the lease when files are looked at", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const session = await stage.sessions.create(stage.newSession());
    await stage.store.files(session.id, stage.alice);
    expect(await stage.sessions.get(session.id, stage.alice)).toEqual(session);
  });

  it("keeps a request that is made again after bytes were sent, with the bytes", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, alice } = stage;
    const id = await stage.newSessionId();
    await files.recordSent(id, new Map([["a.vmdk", 5]]));
    expect((await files.files(id, alice))!.files).toEqual(new Map([["a.vmdk", { bytesSent: 5 }]]));
    await files.request(id, alice, "a.vmdk", "HTTPS");
    expect((await files.files(id, alice))!.files.get("a.vmdk")).toEqual({
      requested: "HTTPS",
      requestedForMs: aWhile,
      bytesSent: 5,
    });
  });

  it.each(Object.entries(oddNames))("keeps a file apart whose name is %s", async (_, fileName) => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice } = stage;
    const session = await sessions.create(stage.newSession());
    expect(await files.request(session.id, alice, fileName, "HTTPS")).toMatchObject({ outcome: "renewed" });
    await files.recordSent(session.id, new Map([[fileName, 7]]));
    await files.recordSent(session.id, new Map([[fileName, 8]]));
    const stored = (await files.files(session.id, alice))!;
    expect([...stored.files]).toEqual([
      [fileName, { requested: "HTTPS", requestedForMs: aWhile, bytesSent: 15 }],
    ]);
    expect(await sessions.get(session.id, alice)).toEqual(stored.session);
    expect(stored.session).toEqual({ ...session, expiresAt: stored.session.expiresAt });
  });
}

function recordSentContract(backend: TestBackend): void {
  it("adds up the bytes that were sent and renews the lease, no matter who owns the session", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice, now } = stage;
    const { id } = await sessions.create(stage.newSession());
    await sessions.keepAlive(id, alice, 12);
    await files.recordSent(id, new Map([["a.vmdk", 1_000]]));
    const from = await now();
    const renewal = await files.recordSent(
      id,
      new Map([
        ["a.vmdk", 24],
        ["b.vmdk", 3_000_000_000],
        ["c.vmdk", 0],
      ]),
    );
    if (renewal.outcome !== "renewed") throw new Error(renewal.outcome);
    expectLease(renewal.expiresAt, longLeaseTerms.leaseMs, from, await now());
    expect(renewal.progress).toBe(12);
    const stored = (await files.files(id, alice))!;
    expect(stored.session.expiresAt).toBe(renewal.expiresAt);
    expect(stored.files).toEqual(
      new Map([
        ["a.vmdk", { bytesSent: 1_024 }],
        ["b.vmdk", { bytesSent: 3_000_000_000 }],
        ["c.vmdk", { bytesSent: 0 }],
      ]),
    );
  });

  it("only renews the lease when nothing was sent", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const id = await stage.newSessionId();
    expect(await stage.store.recordSent(id, new Map())).toMatchObject({ outcome: "renewed", progress: 0 });
    expect((await stage.store.files(id, stage.alice))!.files).toEqual(new Map());
  });

  it("stops counting at the greatest number of bytes that can be represented exactly", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const id = await stage.newSessionId();
    const max = Number.MAX_SAFE_INTEGER;
    const sent = async (bytes: number) => {
      await stage.store.recordSent(id, new Map([["a.vmdk", bytes]]));
      return (await stage.store.files(id, stage.alice))!.files.get("a.vmdk")!.bytesSent;
    };
    expect(await sent(max - 1)).toBe(max - 1);
    expect(await sent(1)).toBe(max);
    expect(await sent(1)).toBe(max);
    expect(await sent(max)).toBe(max);
  });

  it("adds up what several instances record at once", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const id = await stage.newSessionId();
    const results = await Promise.all(
      Array.from({ length: 100 }, (_, turn) =>
        (turn % 2 === 0 ? stage.one : stage.other).sessionFiles.recordSent(
          id,
          new Map([
            ["a.vmdk", turn],
            ["b.vmdk", 1],
          ]),
        ),
      ),
    );
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["renewed"]));
    expect((await stage.other.sessionFiles.files(id, stage.alice))!.files).toEqual(
      new Map([
        ["a.vmdk", { bytesSent: 4_950 }],
        ["b.vmdk", { bytesSent: 100 }],
      ]),
    );
  });

  it("takes ten thousand files with names of 255 bytes in one session", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, alice } = stage;
    const id = await stage.newSessionId();
    const names = Array.from({ length: 10_000 }, (_, index) => `${index}-`.padEnd(255, "x"));
    expect(await files.recordSent(id, new Map(names.map((name, index) => [name, index])))).toMatchObject({
      outcome: "renewed",
    });
    await files.request(id, alice, names[77]!, "HTTPS");
    const stored = (await files.files(id, alice))!.files;
    expect(stored.size).toBe(names.length);
    for (const [index, name] of names.entries()) {
      const expected =
        index === 77 ? { requested: "HTTPS", requestedForMs: aWhile, bytesSent: 77 } : { bytesSent: index };
      if (JSON.stringify(stored.get(name)) !== JSON.stringify(expected)) {
        expect(stored.get(name), name).toEqual(expected);
      }
    }
  });
}

function visibilityContract(backend: TestBackend): void {
  it("shows files to the owner and to admins only", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, alice, bob, admin } = stage;
    const id = await stage.newSessionId();
    expect(await files.request(id, bob, "a.vmdk", "HTTPS")).toEqual(notFound);
    expect(await files.files(id, bob)).toBeUndefined();
    expect((await files.files(id, alice))!.files).toEqual(new Map());
    expect(await files.request(id, admin, "a.vmdk", "DIRECT")).toMatchObject({ outcome: "renewed" });
    for (const caller of [alice, admin]) {
      expect((await files.files(id, caller))!.files).toEqual(
        new Map([["a.vmdk", { requested: "DIRECT", requestedForMs: aWhile, bytesSent: 0 }]]),
      );
    }
  });

  it("keeps the files of sessions apart", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, alice } = stage;
    const [id, otherId] = [await stage.newSessionId(), await stage.newSessionId()];
    await files.request(id, alice, "a.vmdk", "HTTPS");
    await files.recordSent(otherId, new Map([["a.vmdk", 9]]));
    expect((await files.files(id, alice))!.files.get("a.vmdk")).toEqual({
      requested: "HTTPS",
      requestedForMs: aWhile,
      bytesSent: 0,
    });
    expect((await files.files(otherId, alice))!.files.get("a.vmdk")).toEqual({ bytesSent: 9 });
  });

  it("has no files of sessions that never existed", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { store: files, alice, admin } = stage;
    const { id } = stage.newSession();
    for (const caller of [alice, admin]) {
      expect(await files.request(id, caller, "a.vmdk", "HTTPS")).toEqual(notFound);
      expect(await files.files(id, caller)).toBeUndefined();
    }
    expect(await files.recordSent(id, new Map([["a.vmdk", 1]]))).toEqual(notFound);
    expect(await stage.sessions.get(id, admin), "no session was created").toBeUndefined();
  });

  it.each(finalStates)("leaves a session in state %s as it is, and still shows its files", async (state) => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice, admin } = stage;
    const id = await stage.newSessionId();
    await files.request(id, alice, "a.vmdk", "HTTPS");
    await files.recordSent(id, new Map([["a.vmdk", 10]]));
    await sessions.finish(id, alice, state, state === "ERROR" ? "the disk is full" : undefined);
    const session = (await sessions.get(id, alice))!;
    const refused = { outcome: "not_active", state };
    for (const caller of [alice, admin]) {
      expect(await files.request(id, caller, "a.vmdk", "DIRECT")).toEqual(refused);
      expect(await files.request(id, caller, "b.vmdk", "HTTPS")).toEqual(refused);
    }
    expect(await files.request(id, stage.bob, "a.vmdk", "HTTPS")).toEqual(notFound);
    expect(await files.recordSent(id, new Map([["a.vmdk", 10]]))).toEqual(refused);
    expect(await files.files(id, alice)).toEqual({
      session,
      files: new Map([["a.vmdk", { requested: "HTTPS", requestedForMs: aWhile, bytesSent: 10 }]]),
    });
  });

  it("records no bytes once a cancel was acknowledged, under any load", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice } = stage;
    const id = await stage.newSessionId();
    let recorded = 0;
    let isCanceled = false;
    const sending = Array.from({ length: 16 }, async (_, sender) => {
      const instance = sender % 2 === 0 ? stage.one : stage.other;
      for (;;) {
        const isLate = isCanceled;
        const result = await instance.sessionFiles.recordSent(id, new Map([["a.vmdk", 1]]));
        if (isLate) expect(result).toEqual({ outcome: "not_active", state: "CANCELED" });
        if (result.outcome !== "renewed") return;
        recorded++;
        await new Promise(setImmediate);
      }
    });
    await eventually("bytes to be recorded", () => recorded > 200);
    await stage.other.sessions.finish(id, alice, "CANCELED");
    isCanceled = true;
    await Promise.all(sending);
    expect((await files.files(id, alice))!.files.get("a.vmdk")).toEqual({ bytesSent: recorded });
    expect(await sessions.get(id, alice)).toMatchObject({ state: "CANCELED" });
  });
}

/** Real time: leases of a few hundred milliseconds, and none that a slow machine must keep up with. */
function lifeContract(backend: TestBackend): void {
  it("has nothing of a session that has expired, nor does a new one of its id of the old one's files", async () => {
    await using stage = await setStage("sessionFiles", backend, { leaseTerms: briefLeaseTerms });
    const { sessions, store: files, alice, admin } = stage;
    const spec = stage.newSession();
    await sessions.create(spec);
    await files.request(spec.id, alice, "a.vmdk", "HTTPS");
    await files.recordSent(spec.id, new Map([["b.vmdk", 3]]));
    await eventually("the expiry", async () => (await files.files(spec.id, admin)) === undefined);
    for (const caller of [alice, admin]) {
      expect(await files.request(spec.id, caller, "a.vmdk", "HTTPS")).toEqual(notFound);
    }
    expect(await files.recordSent(spec.id, new Map([["a.vmdk", 3]]))).toEqual(notFound);
    const session = await sessions.create(spec);
    expect(await files.files(spec.id, alice)).toEqual({ session, files: new Map() });
  });

  it("has nothing of a session that was deleted, nor does a new one of its id of the old one's files", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice } = stage;
    const spec = stage.newSession();
    await sessions.create(spec);
    await files.request(spec.id, alice, "a.vmdk", "HTTPS");
    await sessions.delete(spec.id, alice);
    expect(await files.files(spec.id, alice)).toBeUndefined();
    const session = await sessions.create(spec);
    expect(await files.files(spec.id, alice)).toEqual({ session, files: new Map() });
  });

  it("keeps files when the creation of their session is repeated", async () => {
    await using stage = await setStage("sessionFiles", backend);
    const { sessions, store: files, alice } = stage;
    const spec = stage.newSession();
    await sessions.create(spec);
    await files.request(spec.id, alice, "a.vmdk", "HTTPS");
    await stage.other.sessions.create(spec);
    expect((await files.files(spec.id, alice))!.files.get("a.vmdk")).toEqual({
      requested: "HTTPS",
      requestedForMs: aWhile,
      bytesSent: 0,
    });
  });

  it("never moves expiresAt back, also not by an instance with a shorter lease", async () => {
    await using stage = await setStage("sessionFiles", backend, {}, { leaseTerms: briefLeaseTerms });
    const { sessions, other, alice } = stage;
    const { id, expiresAt } = await sessions.create(stage.newSession());
    const renewed = { outcome: "renewed", expiresAt, progress: 0 };
    expect(await other.sessionFiles.request(id, alice, "a.vmdk", "HTTPS")).toEqual(renewed);
    expect(await other.sessionFiles.recordSent(id, new Map([["a.vmdk", 1]]))).toEqual(renewed);
    expect(await sessions.get(id, alice)).toMatchObject({ expiresAt });
  });

  it("keeps a session beyond its first lease for as long as bytes are sent", async () => {
    await using stage = await setStage("sessionFiles", backend, {
      leaseTerms: { leaseMs: 1_500, retentionMs: 300 },
    });
    const { sessions, store: files, alice, now } = stage;
    const { id, expiresAt } = await sessions.create(stage.newSession());
    await eventually("the end of the first lease", async () => {
      const renewal = await files.recordSent(id, new Map([["a.vmdk", 1]]));
      if (renewal.outcome !== "renewed") throw new Error(`the session is ${renewal.outcome}`);
      return (await now()) > expiresAt;
    });
    expect(await sessions.get(id, alice)).toMatchObject({ state: "ACTIVE" });
  });
}
