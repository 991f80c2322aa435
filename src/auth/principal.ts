import type { Caller } from "../domain/session.ts";

/** The role that sees everybody's sessions, and may what every other role may. */
const adminRole = "admin";
/** The role that may read from the storage of the content source itself. */
const storageRole = "storage";

/** All there are. */
export const roles: readonly string[] = [adminRole, storageRole];

/** What a principal may do besides. @param held whatever was told to be its roles */
export function rightsOf(held: readonly unknown[]): Required<Pick<Caller, "admin" | "mayReadStorage">> {
  const admin = held.includes(adminRole);
  return { admin, mayReadStorage: admin || held.includes(storageRole) };
}

const longestName = 256;

/**
 * Whether a text can be the name of a principal: 1 to 256 bytes of UTF-8 without control characters. A principal is its
 * name, by whatever means it is proven.
 */
export function isPrincipalName(text: unknown): text is string {
  return (
    typeof text === "string" &&
    text !== "" &&
    text.isWellFormed() &&
    !/\p{Cc}/u.test(text) &&
    Buffer.byteLength(text) <= longestName
  );
}
