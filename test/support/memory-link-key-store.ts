import { ServiceError } from "../../src/domain/errors.ts";
import type { LinkKey, LinkKeyStore } from "../../src/domain/link-key-store.ts";

/** Keeps a key in memory, and can lose it or be down. */
export class MemoryLinkKeyStore implements LinkKeyStore {
  key: LinkKey | undefined;
  isDown = false;
  /** How often it was called. */
  calls = 0;

  async linkKey(candidate: LinkKey): Promise<LinkKey> {
    this.calls++;
    if (this.isDown) throw new ServiceError("downlease.store.unavailable");
    this.key ??= candidate;
    return this.key;
  }
}
