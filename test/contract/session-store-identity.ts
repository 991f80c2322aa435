import { expect, it } from "vitest";
import { callerNamed } from "../support/callers.ts";
import type { TestBackend } from "./backends.ts";
import { notFound, setStage } from "./stage.ts";

const oddTexts = [
  "obj-103",
  "😀 downloads",
  "{}",
  "{a}b}",
  "a}{b",
  " leading and trailing ",
  `quotes ' " \` and \\`,
  "'; DROP TABLE session; --",
  "%00%",
  "*?[a-z]",
  "a:b/c?d=e&f#g",
  "__proto__",
  "constructor",
  "NULL",
  "0",
  "-1",
];

/** Whose a session is, and texts that a careless store would stumble over. */
export function identityContract(backend: TestBackend): void {
  it("hides a session from all but its owner and admins", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, bob, admin } = stage;
    const created = await store.create(stage.newSession());
    const { id } = created;

    expect(await store.get(id, bob)).toBeUndefined();
    expect(await store.keepAlive(id, bob, 50)).toEqual(notFound);
    expect(await store.keepAlive(id, bob, 101), "the owner is checked before the progress").toEqual(notFound);
    expect(await store.finish(id, bob, "CANCELED")).toEqual(notFound);
    expect(await store.delete(id, bob)).toBe(false);
    expect(await store.get(id, admin), "nothing has changed").toEqual(created);

    expect(await store.keepAlive(id, admin, 50)).toMatchObject({ outcome: "renewed", progress: 50 });
    expect(await store.finish(id, admin, "CANCELED")).toMatchObject({ outcome: "finished" });
    expect(await store.keepAlive(id, bob), "the owner is checked before the state").toEqual(notFound);
    expect(await store.delete(id, admin)).toBe(true);
    expect(await store.get(id, admin)).toBeUndefined();
  });

  it.each(oddTexts)("takes %j as id, owner, item and content version", async (text) => {
    await using stage = await setStage("sessions", backend);
    const { store } = stage;
    // Other test runs may share the database.
    const unique = crypto.randomUUID();
    const odd = callerNamed(`${text}${unique}`);
    const id = `${text}${unique}${text}`;
    const spec = { id, owner: odd.principal, libraryItemId: text, contentVersion: text };
    const created = await store.create(spec);
    expect(created).toMatchObject(spec);
    expect(await store.get(id, odd)).toEqual(created);
    expect(await store.list(odd.principal, text)).toEqual([id]);
    expect(await store.keepAlive(id, odd, 50)).toMatchObject({ outcome: "renewed", progress: 50 });
    expect(await store.finish(id, odd, "ERROR", text)).toMatchObject({ outcome: "finished" });
    expect(await store.get(id, odd)).toMatchObject({ ...spec, errorMessage: text });
    expect(await store.delete(id, odd)).toBe(true);
    expect(await store.list(odd.principal)).toEqual([]);
  });

  it("takes an id of 256 bytes", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const id = `${crypto.randomUUID()}${"é".repeat(110)}`;
    expect(Buffer.byteLength(id)).toBe(256);
    const created = await store.create(stage.newSession({ id }));
    expect(await store.get(id, alice)).toEqual(created);
    expect(await store.list(alice.principal)).toEqual([id]);
  });

  it("distinguishes ids that differ in case, blanks, braces or Unicode form", async () => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const base = `id ${crypto.randomUUID()}`;
    const ids = [
      base,
      base.toUpperCase(),
      `${base} `,
      ` ${base}`,
      `{${base}}`,
      `${base}é`,
      `${base}é`.normalize("NFD"),
    ];
    for (const [progress, id] of ids.entries()) {
      await store.create(stage.newSession({ id }));
      await store.keepAlive(id, alice, progress);
    }
    for (const [progress, id] of ids.entries()) {
      expect(await store.get(id, alice)).toMatchObject({ id, progress });
    }
    expect(await store.list(alice.principal)).toEqual(ids);
  });

  it.each([
    ["empty", ""],
    ["of 100 kB", "файл не записан 😀\n".repeat(4000)],
    ["with a NUL character", "before\0after"],
    ["that looks like JSON", '{"__proto__": null}'],
  ])("keeps an error message %s as it is", async (_, message) => {
    await using stage = await setStage("sessions", backend);
    const { store, alice } = stage;
    const { id } = await store.create(stage.newSession());
    await store.finish(id, alice, "ERROR", message);
    expect((await store.get(id, alice))?.errorMessage).toBe(message);
  });
}
