import { createHash } from "node:crypto";
import type { VersionedFile } from "../../domain/preparation.ts";

/**
 * Keys and fields. Every script touches one key, so one slot of a cluster; the braces would keep further keys of a
 * session in its slot.
 *
 * A session is a hash: `s` state, `p` progress, `o` owner, `i` library item id, `v` content version, `c` creation
 * time in µs, `n` place in the index of its owner, `u` "1" if it ends with a user of the users file, `e` error message,
 * `t` bytes sent of all files, `a` address of the client of its last call. For each file of its item it has `r:<file>` the
 * requested endpoint type, `q:<file>` the time in ms of its first request and `b:<file>` bytes sent. Its TTL is the lease.
 */
export function sessionKey(id: string): string {
  return `dl:{${id}}`;
}

/** The keys of one kind, for scans. */
export interface KeyKind {
  /** Matches these keys, and no other key of ours. */
  readonly pattern: string;
  /** What the key stands for: the inverse of the function that makes it. */
  idOf(key: string): string;
}

export const sessionKeys: KeyKind = keyKind("dl:{");

/**
 * A sorted set of one owner's session ids. The score is the place of the session: the time in µs of the last attempt to
 * create it, or, once somebody has looked at it, when to look again. Its TTL is that of `indexKeptMs`.
 */
export function ownerIndexKey(owner: string): string {
  return `dl:owner:{${owner}}`;
}

/**
 * A hash: `p` principal, `g` granted roles as one text, `f` proof, `c` creation time in ms. For former releases also `a`
 * "1" for an admin and `r` "1" for one that may read storage. Its TTL is what the login session has left.
 */
export function loginKey(digest: string): string {
  return `dl:login:{${digest}}`;
}

export const loginKeys: KeyKind = keyKind("dl:login:{");

/** A count of failures; its TTL is what its window has left. */
export function failureKey(digest: string): string {
  return `dl:failure:{${digest}}`;
}

/**
 * A hash: `s` state (`running`, `done` or `failed`); while it is running `w` worker, `b` bytes done and
 * `x` "1" if it has to be verified before it is given out, then `r` the
 * result as JSON. Its TTL is what the worker's claim or the result has left.
 */
export function preparationKey({ itemId, contentVersion, fileName }: VersionedFile): string {
  const digest = createHash("sha256")
    .update(JSON.stringify([itemId, contentVersion, fileName]))
    .digest("hex");
  return `dl:file:{${digest}}`;
}

/** The key that links are signed with: its id and its secret in base64, with a colon between them. */
export const linkKeyKey = "dl:link-key";

/** A hash: `version`, and `s:<name>` the text of each setting that was changed while the service ran. */
export const settingsKey = "dl:settings";

/**
 * A hash: `until` when the portions that were given out are over, in ms with a fraction; `w:<worker>` the downloads of a
 * process and until when they count. Its TTL ends soon after the last portion.
 */
export const bandwidthKey = "dl:bandwidth";

/**
 * A hash: `granted` and `ended` leases that all processes have counted, `taker` until when the census is whose, in ms,
 * `census` the latest one as JSON, and for each replica `r:<name>` when it reported, in ms, which batch
 * of leases it counted, and its report as JSON.
 */
export const replicasKey = "dl:replicas";

/** Channel that announces the ids of canceled, failed and deleted sessions. */
export const endsChannel = "dl:ended";

/** Channel that announces the digests of closed login sessions. */
export const revocationChannel = "dl:revoked";

/** Channel that announces new versions of the settings. */
export const settingsChannel = "dl:settings-changed";

/** Channel that announces changes of sessions, while somebody watches. */
export const changesChannel = "dl:session-changes";

/** Channel that announces that somebody watches. */
export const watchersChannel = "dl:session-watchers";

function keyKind(prefix: string): KeyKind {
  return { pattern: `${prefix}*}`, idOf: (key) => key.slice(prefix.length, -1) };
}
