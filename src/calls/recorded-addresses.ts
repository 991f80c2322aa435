/** Sessions that share a place of the table, the ones that were added last. */
const ways = 8;
const buckets = 2 ** 18;

const seeds = { bucket: 0x811c9dc5, session: 0x9747b28c, address: 0x2545f491 } as const;

/**
 * Which address of each session is recorded, in 8 bytes a session and 16 MiB in all: enough for about 1.5 million
 * sessions; with more of them some are forgotten. Sessions and addresses are known by hashes only: of two in a thousand
 * million sessions one is taken for the other.
 */
export class RecordedAddresses {
  readonly #sessions = new Uint32Array(buckets * ways);
  readonly #addresses = new Uint32Array(buckets * ways);

  has(sessionId: string, address: string): boolean {
    const at = this.#find(sessionId);
    return at >= 0 && this.#addresses[at] === hashOf(address, seeds.address);
  }

  set(sessionId: string, address: string): void {
    const [start, tag] = placeOf(sessionId);
    const found = this.#find(sessionId);
    if (found < 0) {
      // The oldest one goes.
      this.#sessions.copyWithin(start + 1, start, start + ways - 1);
      this.#addresses.copyWithin(start + 1, start, start + ways - 1);
    }
    const at = found < 0 ? start : found;
    this.#sessions[at] = tag;
    this.#addresses[at] = hashOf(address, seeds.address);
  }

  delete(sessionId: string): void {
    const at = this.#find(sessionId);
    if (at >= 0) this.#sessions[at] = 0;
  }

  /** Negative if there is none. */
  #find(sessionId: string): number {
    const [start, tag] = placeOf(sessionId);
    for (let at = start; at < start + ways; at++) if (this.#sessions[at] === tag) return at;
    return -1;
  }
}

/** The bucket of a session, and what it is called there; 0 stands for none. */
function placeOf(sessionId: string): [start: number, tag: number] {
  const start = (hashOf(sessionId, seeds.bucket) % buckets) * ways;
  return [start, hashOf(sessionId, seeds.session) || 1];
}

/** FNV-1a with a finish that mixes the upper bits into the lower ones. */
function hashOf(text: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
