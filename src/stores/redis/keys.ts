/**
 * Keys and fields. Every script touches one key, so one slot of a cluster; the braces keep a session's later
 * keys in its slot.
 *
 * A session is a hash: `s` state, `p` progress, `o` owner, `i` library item id, `v` content version, `c` creation
 * time in µs, `e` error message. Its TTL is the lease.
 */
export function sessionKey(id: string): string {
  return `dl:{${id}}`;
}

/** A sorted set: session ids of one owner, by the time in µs of the last attempt to create them. */
export function ownerIndexKey(owner: string): string {
  return `dl:owner:{${owner}}`;
}
