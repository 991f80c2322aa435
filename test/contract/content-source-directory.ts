import { mkdir, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openContentSource } from "../../src/content/open.ts";
import { tempDir } from "../support/temp-dir.ts";
import type { ContentStorage } from "./content-source-stage.ts";

/** Libraries in a directory of the test's own. */
export async function directoryStorage(): Promise<ContentStorage> {
  const directory = await tempDir();
  const root = join(directory.path, "root");
  await mkdir(root);
  const warnings: string[] = [];
  // Ahead of the clock that the file system stamps folders with, so that each change is the latest one.
  let seconds = Date.UTC(2100, 0, 1) / 1_000;
  const touch = (path: string) => {
    seconds += 1;
    return utimes(path, seconds, seconds);
  };
  return {
    warnings,
    open: () => openContentSource({ kind: "directory", root, warn: (message) => warnings.push(message) }),
    async put(path, content) {
      const file = join(root, path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
      await touch(file);
    },
    async remove(path) {
      await rm(join(root, path), { recursive: true });
      const isFile = path.split("/").length === 3;
      if (isFile) await touch(join(root, dirname(path)));
    },
    breakDown: () => rm(root, { recursive: true }),
    noticesAtOnce: true,
    recordsRemovals: true,
    noticed: (expectations) => expectations(),
    [Symbol.asyncDispose]: directory.remove,
  };
}
