import { randomBytes, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { LinkKey } from "../../src/domain/link-key-store.ts";
import type { TestBackend } from "./backends.ts";
import { type Stage, setStage } from "./stage.ts";

export function newLinkKey(members: Partial<LinkKey> = {}): LinkKey {
  return { id: randomUUID(), secret: randomBytes(32), ...members };
}

/** A key in a form that is equal if its bytes are, in any kind of array. */
export function plain({ id, secret }: LinkKey) {
  return { id, secret: Buffer.from(secret).toString("hex") };
}

/** What every store of the link key must do. */
export function linkKeyStoreContract(backend: TestBackend): void {
  describe(`link key store: ${backend.name}`, () => {
    it("keeps the first candidate and returns it to all callers from then on", async () => {
      await using stage = await setLinkKeyStage(backend);
      const { store, second: other } = stage;
      const first = newLinkKey();
      expect(plain(await store.linkKey(first))).toEqual(plain(first));
      for (const instance of [store, other, store]) {
        expect(plain(await instance.linkKey(newLinkKey()))).toEqual(plain(first));
      }
    });

    it("lets all callers that start at once agree", async () => {
      await using stage = await setLinkKeyStage(backend);
      const { store, second: other } = stage;
      const candidates = Array.from({ length: 40 }, () => newLinkKey());
      const keys = await Promise.all(
        candidates.map((candidate, turn) => (turn % 2 === 0 ? store : other).linkKey(candidate)),
      );
      const [agreed] = keys.map(plain);
      expect(keys.map(plain)).toEqual(keys.map(() => agreed));
      expect(candidates.map(plain)).toContainEqual(agreed);
    });

    it.each([
      ["every byte", newLinkKey({ secret: Uint8Array.from({ length: 256 }, (_, byte) => byte) })],
      ["nothing but zeros", newLinkKey({ secret: new Uint8Array(32) })],
      ["an id of punctuation", newLinkKey({ id: "!\"#$%&'()*+-./;<=>?@[\\]^_`{|}~" })],
    ])("keeps a key with %s", async (_, key) => {
      await using stage = await setLinkKeyStage(backend);
      const { store, second: other } = stage;
      await store.linkKey(key);
      expect(plain(await other.linkKey(newLinkKey()))).toEqual(plain(key));
    });
  });
}

/** A backend has one link key, so that tests can't share one. */
function setLinkKeyStage(backend: TestBackend): Promise<Stage<"linkKeys">> {
  return setStage("linkKeys", { ...backend, open: backend.openAlone ?? backend.open });
}
