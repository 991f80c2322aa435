/** Bytes that file systems allow for a name, less those of `partSuffix`. */
const maxNameBytes = 255 - 5;

/** What a file is called before it is complete and verified. */
export const partSuffix = ".part";

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;
const reservedOnWindows = /[<>:"|?*]|[. ]$|^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * What is wrong with a name that a server gives a file, undefined when nothing is. A name is one segment of a path and
 * shows itself: nothing is ever written outside of the directory that the user chose, and no hidden file, such as
 * those in which shells and this library keep their own.
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

/** A name among these that another one has while it is incomplete; undefined when there is none. */
export function nameTakenByPart(names: readonly string[]): string | undefined {
  const all = new Set(names);
  return names.find((name) => name.endsWith(partSuffix) && all.has(name.slice(0, -partSuffix.length)));
}
