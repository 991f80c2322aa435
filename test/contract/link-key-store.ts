import { randomBytes, randomUUID } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { LinkKey, LinkKeyStore } from "../../src/domain/link-key-store.ts";

/** Stores that have no key yet. */
export interface OpenLinkKeyStores {
  readonly store: LinkKeyStore;
  /** Another instance on the same data, as another replica has it. */
  readonly other: LinkKeyStore;
  close(): Promise<void>;
}

export type OpenLinkKeys = () => Promise<OpenLinkKeyStores>;

export function newLinkKey(members: Partial<LinkKey> = {}): LinkKey {
  return { id: randomUUID(), secret: randomBytes(32), ...members };
}

/** As equal only if their bytes are, whatever kind of array they are in. */
export function plain({ id, secret }: LinkKey) {
  return { id, secret: Buffer.from(secret).toString("hex") };
}

/** What every store of the link key must do, whatever it is made of. */
export function linkKeyStoreContract(name: string, open: OpenLinkKeys): void {
  describe(`link key store: ${name}`, () => {
    it("keeps the first candidate and gives it to everybody from then on", async () => {
      const { store, other, close } = await open();
      try {
        const first = newLinkKey();
        expect(plain(await store.linkKey(first))).toEqual(plain(first));
        for (const instance of [store, other, store]) {
          expect(plain(await instance.linkKey(newLinkKey()))).toEqual(plain(first));
        }
      } finally {
        await close();
      }
    });

    it("lets all who start at once agree", async () => {
      const { store, other, close } = await open();
      try {
        const candidates = Array.from({ length: 40 }, () => newLinkKey());
        const keys = await Promise.all(
          candidates.map((candidate, turn) => (turn % 2 === 0 ? store : other).linkKey(candidate)),
        );
        const [agreed] = keys.map(plain);
        expect(keys.map(plain)).toEqual(keys.map(() => agreed));
        expect(candidates.map(plain)).toContainEqual(agreed);
      } finally {
        await close();
      }
    });

    it.each([
      ["every byte", newLinkKey({ secret: Uint8Array.from({ length: 256 }, (_, byte) => byte) })],
      ["nothing but zeros", newLinkKey({ secret: new Uint8Array(32) })],
      ["an id of signs", newLinkKey({ id: "!\"#$%&'()*+-./;<=>?@[\\]^_`{|}~" })],
    ])("keeps a key with %s", async (_, key) => {
      const { store, other, close } = await open();
      try {
        await store.linkKey(key);
        expect(plain(await other.linkKey(newLinkKey()))).toEqual(plain(key));
      } finally {
        await close();
      }
    });
  });
}
