import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** What is wrong with a file that a setting names. Its message follows the name of the setting and has no path. */
export class SmallFileError extends Error {
  override readonly name = "SmallFileError";
}

export interface SmallFile {
  readonly text: string;
  /** Permissions, as `stat` gives them. */
  readonly mode: number;
}

/** Reads a file of text in UTF-8. @throws SmallFileError */
export function readSmallFile(path: string, maxBytes: number): SmallFile {
  const { bytes, mode } = readUpTo(path, maxBytes + 1);
  if (bytes.byteLength > maxBytes) throw new SmallFileError(`names a file of more than ${maxBytes} bytes`);
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), mode };
  } catch {
    throw new SmallFileError("names a file that is not UTF-8");
  }
}

/** Not more, because a device may have no end. */
function readUpTo(path: string, limit: number): { readonly bytes: Uint8Array; readonly mode: number } {
  const buffer = new Uint8Array(limit);
  let length = 0;
  try {
    const fd = openSync(path, "r");
    try {
      for (let count = 1; count > 0 && length < limit; length += count) {
        count = readSync(fd, buffer, length, limit - length, null);
      }
      return { bytes: buffer.subarray(0, length), mode: fstatSync(fd).mode };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new SmallFileError(`names a file that can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
