import { type ChecksumsByName, checkManifestSize, parseManifest } from "../manifest.ts";
import { BrokenMetadata, checkMetadataSize, type Metadata, parseMetadata } from "../metadata.ts";
import type { Located } from "./located.ts";

/**
 * Reads a metadata file of a folder; declares nothing when there is none.
 *
 * @throws BrokenMetadata
 */
export async function readMetadata(folder: Located, name: string): Promise<Metadata> {
  if ((await folder.statEntry(name)) === undefined) return {};
  const file = await folder.openEntry(name);
  if (file === undefined) throw new BrokenMetadata("not a regular file inside of the root");
  try {
    checkMetadataSize(file.size);
    return { ...parseMetadata(await file.handle.readFile()), modifiedMs: file.modifiedMs };
  } finally {
    await file.handle.close();
  }
}

/**
 * Reads a manifest in a folder; undefined when there is none any more.
 *
 * @throws BrokenManifest
 */
export async function readManifest(folder: Located, name: string): Promise<ChecksumsByName | undefined> {
  const file = await folder.openEntry(name);
  if (file === undefined) return undefined;
  try {
    checkManifestSize(file.size);
    return parseManifest(await file.handle.readFile());
  } finally {
    await file.handle.close();
  }
}
