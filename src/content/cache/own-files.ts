import { closeSync, constants, openSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

// Windows has no links of this kind.
const { O_NOFOLLOW = 0 } = constants;
const creation = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | O_NOFOLLOW;
/** Only the user of the service reads what is cached. */
const mode = 0o600;

/** Creates a file and opens it; rejects with EEXIST when there is one. */
export function createOwn(path: string): Promise<FileHandle> {
  return open(path, creation, mode);
}

/** Creates an empty file, at once. Throws EEXIST when there is one. */
export function createEmpty(path: string): void {
  closeSync(openSync(path, creation, mode));
}

/** Opens a file that is no link to read it. */
export function openOwn(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | O_NOFOLLOW);
}

/** Whether an error of the system has the code, for example `ENOENT`. */
export function hasCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}
