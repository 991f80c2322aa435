import { v5 as nameBasedUuid } from "uuid";

/** Namespace of the ids that are derived from names; every replica, and every kind of source, must use the same. */
const nameNamespace = "0f6b1c52-8a3d-4d7e-9b64-2c5e7f1a9d38";

/** The id of a library or an item that declares none, by its place: `library` or `library/item`. */
export function idOf(place: string): string {
  return nameBasedUuid(place, nameNamespace);
}
