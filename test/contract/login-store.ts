import { describe, expect, it } from "vitest";
import { digestOf } from "../../src/domain/login.ts";
import type { LoginRecord, LoginStore } from "../../src/domain/login-store.ts";
import { rolesFrom } from "../../src/domain/roles.ts";
import { eventually } from "../support/eventually.ts";
import type { TestBackend } from "./backends.ts";
import { failuresContract } from "./login-failures.ts";
import { hostileIds, newLogin } from "./logins.ts";
import { setStage } from "./stage.ts";

/** What every login store must do. */
export function loginStoreContract(backend: TestBackend): void {
  describe(`login store: ${backend.name}`, () => {
    operationsContract(backend);
    lifeContract(backend);
    operatorsContract(backend);
    replicasContract(backend);
    failuresContract(backend);
  });
}

function operationsContract(backend: TestBackend): void {
  it("opens a login session that stands for its principal", async () => {
    await using stage = await setStage("logins", backend);
    const { store, now } = stage;
    const login = newLogin();
    const from = await now();
    const id = await store.open(login);
    const opened = await now();
    const result = await store.find(id);
    expect(result).toMatchObject(login);
    expect(result!.createdAt).toBeGreaterThanOrEqual(from);
    expect(result!.createdAt).toBeLessThanOrEqual(opened);
    expect(result!.lastUsedAt).toBeGreaterThanOrEqual(result!.createdAt);
    expect(result!.lastUsedAt).toBeLessThanOrEqual(await now());
  });

  it.each([
    ["the role admin", { roles: rolesFrom(["admin"]) }],
    ["the role storage", { roles: rolesFrom(["storage"]) }],
    ["both roles", { roles: rolesFrom(["admin", "storage"]) }],
    ["a name of many scripts", { principal: "Zoë 李 🦉 \u202e ' \" \\ {} %s" }],
    ["no proof", { proof: "" }],
    ["a long proof with line ends and nulls", { proof: `a\r\n\0é${"x".repeat(20_000)}` }],
  ])("keeps what it was opened with: %s", async (_, members) => {
    await using stage = await setStage("logins", backend);
    const login = newLogin(members);
    const id = await stage.store.open(login);
    expect(await stage.store.find(id)).toMatchObject(login);
    expect(await stage.second.find(id)).toMatchObject(login);
  });

  it("gives identifiers of 32 hexadecimal digits, another each time", async () => {
    await using stage = await setStage("logins", backend);
    const login = newLogin();
    const ids = await Promise.all(Array.from({ length: 100 }, () => stage.store.open(login)));
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("closes a login session once, and leaves the principal's others open", async () => {
    await using stage = await setStage("logins", backend);
    const { store } = stage;
    const login = newLogin();
    const [id, other] = [await store.open(login), await store.open(login)];
    await store.find(id);
    expect(await store.close(id)).toBe(true);
    expect(await store.find(id)).toBeUndefined();
    expect(await store.close(id)).toBe(false);
    expect(await store.find(other)).toMatchObject(login);
  });

  it("refuses identifiers that it has not issued, of any form", async () => {
    await using stage = await setStage("logins", backend);
    const { store } = stage;
    const login = newLogin();
    const id = await store.open(login);
    for (const [what, hostile] of Object.entries(hostileIds(id))) {
      expect(await store.find(hostile), what).toBeUndefined();
      expect(await store.close(hostile), what).toBe(false);
    }
    expect(await store.find(id)).toMatchObject(login);
  });

  it("does not open to what it keeps of an identifier", async () => {
    await using stage = await setStage("logins", backend);
    const id = await stage.store.open(newLogin());
    const digest = digestOf(id);
    for (const part of [digest, digest.slice(0, 32), digest.slice(32)]) {
      expect(await stage.store.find(part)).toBeUndefined();
    }
  });
}

/** Tests share a database: a walk over all login sessions has those of others. */
function operatorsContract(backend: TestBackend): void {
  async function walk({ store }: { readonly store: LoginStore }, principal: string, maxLogins = 1000) {
    const pages: (readonly LoginRecord[])[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.page({ principal, cursor, maxLogins });
      pages.push(page.logins);
      ({ cursor } = page);
    } while (cursor !== undefined);
    return { pages, logins: pages.flat() };
  }

  it("shows operators what it knows of a login session, which is no use of it", async () => {
    await using stage = await setStage("logins", backend, {
      loginTerms: { idleMs: 20_000, lifetimeMs: 60_000 },
    });
    const { store, now } = stage;
    const login = newLogin({ roles: rolesFrom(["storage"]) });
    const id = await store.open(login);
    const used = (await store.find(id))!;
    const [record] = (await walk(stage, login.principal)).logins;
    expect(record).toMatchObject({ ...login, digest: digestOf(id), createdAt: used.createdAt });
    expect(Math.abs(record!.lastUsedAt - used.lastUsedAt)).toBeLessThan(1_100);
    expect(record!.expiresAt).toBe(record!.lastUsedAt + 20_000);
    const later = await now();
    await eventually("another millisecond", async () => (await now()) > later);
    expect((await walk(stage, login.principal)).logins).toEqual([record]);
  });

  it("walks over all login sessions of a principal, none twice, in pages of any length", async () => {
    await using stage = await setStage("logins", backend);
    const login = newLogin();
    const ids = await Promise.all(Array.from({ length: 150 }, () => stage.store.open(login)));
    await stage.store.open(newLogin());
    const expected = ids.map(digestOf).sort();
    for (const length of [1000, 40, 7]) {
      const { pages, logins } = await walk(stage, login.principal, length);
      expect(logins.map(({ digest }) => digest).sort()).toEqual(expected);
      expect(Math.max(...pages.map((page) => page.length))).toBeLessThanOrEqual(length);
    }
    const everybody = await stage.store.page({ maxLogins: 1000 });
    expect(everybody.logins.length).toBeGreaterThan(0);
  });

  it("ends login sessions by their digests, for every instance", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    const login = newLogin();
    const [one, two, other] = await Promise.all([1, 2, 3].map(() => store.open(login)));
    expect(await second.find(one!)).toBeDefined();
    expect(await store.end([digestOf(one!), digestOf(two!), digestOf("none"), "*", one!])).toBe(2);
    expect(await store.end([digestOf(one!)])).toBe(0);
    expect(await store.end([])).toBe(0);
    expect(await store.find(one!)).toBeUndefined();
    await eventually("the other instance to refuse it", async () => (await second.find(one!)) === undefined);
    expect((await walk(stage, login.principal)).logins).toMatchObject([{ digest: digestOf(other!) }]);
  });

  it("does not show login sessions that are over", async () => {
    await using stage = await setStage("logins", backend, { loginTerms: { idleMs: 100, lifetimeMs: 100 } });
    const login = newLogin();
    await stage.store.open(login);
    const openedAt = await stage.now();
    await eventually("the end", async () => (await stage.now()) > openedAt + 100);
    expect((await walk(stage, login.principal)).logins).toEqual([]);
  });

  it.each(["x", "-1", "9".repeat(5_000), "\0"])("refuses what is no cursor: %j", async (cursor) => {
    await using stage = await setStage("logins", backend);
    const refusal = { messageId: "downlease.page.token" };
    await expect(stage.store.page({ cursor, maxLogins: 10 })).rejects.toMatchObject(refusal);
  });
}

/** Real time, and no length that a slow machine must keep up with. */
function lifeContract(backend: TestBackend): void {
  it("closes a login session that has not been used for the idle time", async () => {
    await using stage = await setStage("logins", backend, {
      loginTerms: { idleMs: 200, lifetimeMs: 60_000 },
    });
    const { store, now } = stage;
    const id = await store.open(newLogin());
    await store.find(id);
    const usedAt = await now();
    await eventually("the end of the idle time", async () => (await now()) > usedAt + 200);
    expect(await store.find(id)).toBeUndefined();
    expect(await store.close(id)).toBe(false);
  });

  it("keeps a login session beyond its idle time for as long as it is used", async () => {
    await using stage = await setStage("logins", backend, {
      loginTerms: { idleMs: 1_500, lifetimeMs: 60_000 },
    });
    const { store, now } = stage;
    const id = await store.open(newLogin());
    const openedAt = await now();
    await eventually("the end of the first idle time", async () => {
      expect(await store.find(id)).toBeDefined();
      return (await now()) > openedAt + 1_500;
    });
    const result = await store.find(id);
    expect(result!.lastUsedAt, "the last use is visible").toBeGreaterThan(result!.createdAt);
  });

  it("closes a login session at the end of its lifetime, however often it is used", async () => {
    const terms = { idleMs: 60_000, lifetimeMs: 400 };
    await using stage = await setStage("logins", backend, { loginTerms: terms });
    const { store, now } = stage;
    const id = await store.open(newLogin());
    const latestEnd = (await now()) + terms.lifetimeMs;
    await eventually("the end of the lifetime", async () => {
      const calledAt = await now();
      const result = await store.find(id);
      if (result !== undefined) expect(calledAt).toBeLessThan(latestEnd);
      return result === undefined;
    });
    expect(await now()).toBeGreaterThanOrEqual(latestEnd - terms.lifetimeMs);
  });

  it("closes an unused login session at the end of a lifetime that is shorter than the idle time", async () => {
    await using stage = await setStage("logins", backend, {
      loginTerms: { idleMs: 60_000, lifetimeMs: 200 },
    });
    const { store, now } = stage;
    const id = await store.open(newLogin());
    const openedAt = await now();
    await eventually("the end of the lifetime", async () => (await now()) > openedAt + 200);
    expect(await store.find(id)).toBeUndefined();
  });

  it("judges a login session by the lengths that are configured now", async () => {
    await using stage = await setStage(
      "logins",
      backend,
      {},
      { loginTerms: { idleMs: 60_000, lifetimeMs: 100 } },
    );
    const { store, second, now } = stage;
    const id = await store.open(newLogin());
    const openedAt = await now();
    await eventually("the end of the shorter lifetime", async () => (await now()) > openedAt + 100);
    expect(await second.find(id)).toBeUndefined();
  });
}

function replicasContract(backend: TestBackend): void {
  it("shows what one instance opened to another at once", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    const login = newLogin();
    const id = await store.open(login);
    const result = await second.find(id);
    expect(result).toMatchObject(login);
    expect((await store.find(id))!.createdAt).toBe(result!.createdAt);
  });

  it("closes a login session for every instance, those that use it all the time among them", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    for (const [closing, using_] of [
      [store, second],
      [second, store],
    ] as const) {
      const id = await store.open(newLogin());
      expect(await using_.find(id)).toBeDefined();
      expect(await closing.close(id)).toBe(true);
      expect(await closing.find(id), "the instance that closed it").toBeUndefined();
      await eventually("the other instance to refuse it", async () => (await using_.find(id)) === undefined);
      expect(await using_.find(id)).toBeUndefined();
    }
  });

  it("never shows a login session again after it was seen to be closed, however many look for it", async () => {
    await using stage = await setStage("logins", backend);
    const { store, second } = stage;
    const ids = await Promise.all(Array.from({ length: 40 }, () => store.open(newLogin())));
    await Promise.all(
      ids.map(async (id) => {
        let isClosed = false;
        const look = async (instance: typeof store, seesClose: boolean) => {
          let isGone = false;
          for (let looks = 0, gone = 0; gone < 5; looks++) {
            const mustBeGone = isGone || (seesClose && isClosed);
            const result = await instance.find(id);
            if (mustBeGone) expect(result, `look ${looks}`).toBeUndefined();
            if (result === undefined) gone++;
            isGone ||= result === undefined;
            await new Promise(setImmediate);
          }
        };
        const looking = [look(store, true), look(store, true), look(second, false), look(second, false)];
        expect(await store.close(id)).toBe(true);
        isClosed = true;
        await Promise.all(looking);
      }),
    );
  });

  it("gives many callers at once the same answer", async () => {
    await using stage = await setStage("logins", backend);
    const { store } = stage;
    const login = newLogin();
    const id = await store.open(login);
    const unknown = "0".repeat(32);
    const result = await Promise.all(Array.from({ length: 200 }, () => store.find(id)));
    expect(new Set(result.map((each) => each?.principal))).toEqual(new Set([login.principal]));
    const missing = await Promise.all(Array.from({ length: 200 }, () => store.find(unknown)));
    expect(new Set(missing)).toEqual(new Set([undefined]));
  });
}
