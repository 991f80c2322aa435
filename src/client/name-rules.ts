import { randomUUID } from "node:crypto";
import { lstat, unlink } from "node:fs/promises";
import { join } from "node:path";
import type { NameRules } from "./file-names.ts";
import { createOwn } from "./own-files.ts";

/**
 * Finds out which names a directory takes for one. The system does not say: a stick with exFAT on Linux folds case, a
 * volume of macOS may not. So an empty file is created and looked for by its other names.
 *
 * @throws an error of the file system if no file can be created there
 */
export async function readNameRules(directory: string): Promise<NameRules> {
  const name = `.downlease-${randomUUID()}`;
  const foldsCase = await isOneName(directory, `${name}.new`, `${name}.new`.toUpperCase());
  const foldsForms = await isOneName(directory, `${name}-\u00e9.new`, `${name}-e\u0301.new`).catch(() => {
    // The file system has no such letter. Names with it are refused there anyway.
    return true;
  });
  return { foldsCase, foldsForms };
}

async function isOneName(directory: string, name: string, other: string): Promise<boolean> {
  const path = join(directory, name);
  await (await createOwn(path)).close();
  try {
    return await lstat(join(directory, other)).then(
      () => true,
      () => false,
    );
  } finally {
    await unlink(path);
  }
}
