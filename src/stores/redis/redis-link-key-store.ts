import type { LinkKey, LinkKeyStore } from "../../domain/link-key-store.ts";
import type { RedisConnection } from "./connection.ts";
import { linkKeyKey } from "./keys.ts";

/** One Redis key without a TTL: links are signed with it for as long as Redis keeps its data. */
export class RedisLinkKeyStore implements LinkKeyStore {
  readonly #redis: RedisConnection;

  constructor(redis: RedisConnection) {
    this.#redis = redis;
  }

  async linkKey(candidate: LinkKey): Promise<LinkKey> {
    const text = `${candidate.id}:${Buffer.from(candidate.secret).toString("base64")}`;
    // One step: gets the kept key, and sets the candidate only if there is none.
    const kept = await this.#redis.guard(this.#redis.client.set(linkKeyKey, text, "NX", "GET"));
    if (kept === null) return candidate;
    const [id = "", secret = ""] = kept.split(":");
    return { id, secret: Buffer.from(secret, "base64") };
  }
}
