import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * The directory where Node keeps compiled code between starts; made if it is missing. It is in the user's home, because
 * Node runs what it finds there, and its default, below the directory for temporary files, may have been made by another
 * user.
 *
 * Undefined when there can be none, and when Node's own variables decide: `NODE_DISABLE_COMPILE_CACHE`,
 * `NODE_COMPILE_CACHE`.
 */
export function compileCacheDirectory(
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (environment.NODE_DISABLE_COMPILE_CACHE || environment.NODE_COMPILE_CACHE) return undefined;
  try {
    const home = homedir();
    if (!isAbsolute(home)) return undefined;
    const caches = join(home, ".cache");
    makeDirectory(caches);
    const directory = join(caches, "downlease");
    makeDirectory(directory);
    return directory;
  } catch {
    // No home, or one that is not writable.
    return undefined;
  }
}

/** Only this one: a home that does not exist is not made. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}
