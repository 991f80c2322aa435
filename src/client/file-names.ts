/** The limit of file systems in bytes, minus the length of `partSuffix`. */
const maxNameBytes = 255 - 5;

/** Suffix of the name of a file that is not complete and verified yet. */
export const partSuffix = ".part";

// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern matches control characters
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;
const reservedOnWindows = /[<>:"|?*]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * Why a file name from a server is refused; undefined if it is acceptable. A name must be a single path segment and must
 * not begin with a dot, so that no file is written outside of the directory that the user chose, and no hidden file,
 * such as those of shells and of this library, is overwritten.
 */
export function nameProblem(name: string, platform: NodeJS.Platform = process.platform): string | undefined {
  if (name === "") return "is empty";
  if (/[/\\]/.test(name)) return "is a path";
  if (name.startsWith(".")) return "begins with a dot";
  if (controlCharacter.test(name)) return "has control characters";
  if (!name.isWellFormed()) return "is not Unicode text";
  if (Buffer.byteLength(name) > maxNameBytes) return `is longer than ${maxNameBytes} bytes`;
  if (platform === "win32" && reservedOnWindows.test(name)) return "is not possible on Windows";
  return undefined;
}

/** A name that another file of the list has while it is incomplete; undefined if there is none. */
export function nameTakenByPart(names: readonly string[]): string | undefined {
  const all = new Set(names);
  return names.find((name) => name.endsWith(partSuffix) && all.has(name.slice(0, -partSuffix.length)));
}
