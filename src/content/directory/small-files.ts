import { lstat } from "node:fs/promises";
import { type ChecksumsByName, checkManifestSize, parseManifest } from "../manifest.ts";
import { BrokenMetadata, checkMetadataSize, type Metadata, parseMetadata } from "../metadata.ts";
import { openWithin, unlessMissing } from "./file-system.ts";

/**
 * Reads a metadata file; declares nothing when there is none.
 *
 * @param root real path that the file may not lie outside of
 * @throws BrokenMetadata
 */
export async function readMetadata(root: string, path: string): Promise<Metadata> {
  if ((await unlessMissing(lstat(path))) === undefined) return {};
  const file = await openWithin(root, path);
  if (file === undefined) throw new BrokenMetadata("not a regular file inside of the root");
  try {
    checkMetadataSize(file.size);
    return { ...parseMetadata(await file.handle.readFile()), modifiedMs: file.modifiedMs };
  } finally {
    await file.handle.close();
  }
}

/**
 * Reads a manifest; undefined when there is none any more.
 *
 * @param root as for `readMetadata`
 * @throws BrokenManifest
 */
export async function readManifest(root: string, path: string): Promise<ChecksumsByName | undefined> {
  const file = await openWithin(root, path);
  if (file === undefined) return undefined;
  try {
    checkManifestSize(file.size);
    return parseManifest(await file.handle.readFile());
  } finally {
    await file.handle.close();
  }
}
