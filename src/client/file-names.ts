import { hasUnsafeCharacter } from "./printable.ts";

/** The limit of file systems in bytes, minus the length of `partSuffix`. */
const maxNameBytes = 255 - 5;

/** Suffix of the name of a file that is not complete and verified yet. */
export const partSuffix = ".part";

const reservedOnWindows = /[<>:"|?*]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Why a file name from a server is refused; undefined if it is acceptable. A name must be a single path segment and must
 * not begin with a dot, so that no file is written outside of the directory that the user chose, and no hidden file,
 * such as those of shells and of this library, is overwritten. It must look like what it is, and programs that get it
 * through a pattern such as `*` must not take it for an option.
 */
export function nameProblem(name: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (name === "") return "is empty";
  if (/[/\\]/.test(name)) return "is a path";
  if (name.startsWith(".")) return "begins with a dot";
  if (name.startsWith("-")) return "begins with a hyphen";
  if (hasUnsafeCharacter(name)) return "has control characters or invisible characters";
  if (!name.isWellFormed()) return "is not Unicode text";
  if (Buffer.byteLength(name) > maxNameBytes) return `is longer than ${maxNameBytes} bytes`;
  if (platform === "win32" && reservedOnWindows.test(name)) return "is not possible on Windows";
  return undefined;
}

/** Two names that are one file in a usual directory of this platform; undefined if there are none. */
export function collidingNames(
  names: readonly string[],
  platform: NodeJS.Platform = process.platform,
): readonly [string, string] | undefined {
  const earlier = new Map<string, string>();
  for (const name of names) {
    const key = nameKey(name, platform);
    const other = earlier.get(key);
    if (other !== undefined) return [other, name];
    earlier.set(key, name);
  }
  return undefined;
}

/** The same for names that are one file in a usual directory of this platform. */
export function nameKey(name: string, platform: NodeJS.Platform = process.platform): string {
  return platform === "darwin" || platform === "win32" ? name.normalize("NFC").toLowerCase() : name;
}

/** A name that another file of the list has while it is incomplete; undefined if there is none. */
export function nameTakenByPart(names: readonly string[]): string | undefined {
  const all = new Set(names);
  return names.find((name) => name.endsWith(partSuffix) && all.has(name.slice(0, -partSuffix.length)));
}
