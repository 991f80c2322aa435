import { create as contentDisposition } from "content-disposition";
import { asciiName } from "../../domain/ascii-name.ts";
import type { S3Bucket } from "./bucket.ts";
import type { ListedFile } from "./listings.ts";

/** As long as a signature may be valid in S3. */
const maxSignatureSeconds = 604_800;

/**
 * A URI by which anyone can read a file under its name, signed with the credentials of the service; undefined when it
 * would live for less than a second, or the object has changed. It is bound to the version only in a bucket that keeps
 * versions; in others it leads to the object that has the name at the time of reading: a condition can't be signed
 * without every client having to send it.
 */
export async function directUri(
  bucket: S3Bucket,
  { name, object }: ListedFile,
  lifetimeMs: number,
): Promise<string | undefined> {
  const seconds = Math.min(Math.floor(lifetimeMs / 1_000), maxSignatureSeconds);
  if (!(seconds >= 1)) return undefined;
  const head = await bucket.head(object);
  if (head === "changed") return undefined;
  // Objects from before versions were kept are version `null`, which the next one without versions replaces.
  const versionId = head === "denied" || head.VersionId === "null" ? undefined : head.VersionId;
  const disposition = contentDisposition(name, { fallback: asciiName(name) ?? true });
  return bucket.presign(object.key, disposition, versionId, seconds);
}
