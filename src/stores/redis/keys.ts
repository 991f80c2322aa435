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

/**
 * A hash: `p` principal, `a` whether an admin, `f` proof, `c` creation time in ms. Its TTL is what the login session has
 * left.
 */
export function loginKey(digest: string): string {
  return `dl:login:{${digest}}`;
}

/** A count of failures; its TTL is what its window has left. */
export function failureKey(digest: string): string {
  return `dl:failure:{${digest}}`;
}

/** Channel on which the digests of closed login sessions are told. */
export const revocationChannel = "dl:revoked";
