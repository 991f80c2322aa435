import type { LinkKeys } from "./link-keys.ts";
import { isSignedBy, type Link, readLink, signedPath } from "./links.ts";

/** Signs links and verifies them. The keys stay in here. */
export class LinkSigner {
  readonly #keys: LinkKeys;

  constructor(keys: LinkKeys) {
    this.#keys = keys;
  }

  /** The path of a link and its query. Rejects with ServiceError when the key is unavailable. */
  async sign(link: Link): Promise<string> {
    return signedPath(link, await this.#keys.signing());
  }

  /**
   * The link, if one of our keys has signed it. Rejects with ServiceError when the key is unavailable.
   *
   * @param target path and query, from behind `/download/` on
   */
  async verify(target: string): Promise<Link | undefined> {
    const claimed = readLink(target);
    const key = claimed && (await this.#keys.find(claimed.keyId));
    return key && isSignedBy(claimed, key) ? claimed : undefined;
  }
}
