/**
 * What a principal may do beyond its own sessions, by name.
 *
 * - `admin` sees everybody's sessions, changes settings of the service, and may do what every other role may.
 * - `storage` may read from the storage of the content source itself.
 */
export const roles = ["admin", "storage"] as const;

export type Role = (typeof roles)[number];

export type Roles = ReadonlySet<Role>;

/** One set for each combination, so that parsing makes nothing new. */
const sets = new Map<string, Roles>();

/** The roles among the names; other names are ignored. */
export function rolesFrom(names: Iterable<unknown>): Roles {
  const held = new Set(names);
  const list = roles.filter((role) => held.has(role));
  const text = list.join(",");
  let set = sets.get(text);
  if (set === undefined) {
    set = new Set(list);
    sets.set(text, set);
  }
  return set;
}

export const noRoles = rolesFrom([]);

/** The names of the roles, in their order. */
export function rolesIn(held: Roles): Role[] {
  return roles.filter((role) => held.has(role));
}

/** The roles as one text, for example `admin,storage`. */
export function formatRoles(held: Roles): string {
  return rolesIn(held).join(",");
}

/** Reads what `formatRoles` has written; names that a newer release has written are ignored. */
export function parseRoles(text: string): Roles {
  return sets.get(text) ?? rolesFrom(text.split(","));
}

interface Holder {
  readonly roles: Roles;
}

export function isAdmin(holder: Holder): boolean {
  return holder.roles.has("admin");
}

/** Whether the holder may read from the storage of the content source itself. */
export function mayReadStorage(holder: Holder): boolean {
  return holder.roles.has("storage") || holder.roles.has("admin");
}

/** Whether the holder may change settings of the service while it runs. */
export function mayChangeSettings(holder: Holder): boolean {
  return holder.roles.has("admin");
}
