import { createHash } from "node:crypto";
import { hasUnsafeCharacter } from "./printable.ts";

/** The limit of file systems in bytes. */
const maxNameBytes = 255;

const partSuffix = ".part";

/** What Windows reads as something else: streams, patterns, names that lose their end, and devices with any extension. */
const reservedOnWindows =
  /[<>:"|?*]|[. ]$|^(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[\d\u00b9\u00b2\u00b3]) *(?:\.|$)/i;

/** Which names a directory takes for one. */
export interface NameRules {
  /** `A` and `a` are one name. */
  readonly foldsCase: boolean;
  /** The composed and the decomposed form of a letter with an accent are one name. */
  readonly foldsForms: boolean;
}

/** The same for names that are one in a directory with these rules. */
export function nameKey(name: string, { foldsCase, foldsForms }: NameRules): string {
  const decomposed = foldsForms ? name.normalize("NFD") : name;
  // Through the upper case, because several lower-case letters may have the same one.
  const folded = foldsCase ? decomposed.toUpperCase().toLowerCase() : decomposed;
  return foldsForms ? folded.normalize("NFC") : folded;
}

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

/**
 * Name of a file that is not complete and verified yet: `<name>.part`. Where that is too long, the name is cut, and a
 * digest distinguishes it from others.
 */
export function partName(name: string): string {
  const usual = name + partSuffix;
  if (Buffer.byteLength(usual) <= maxNameBytes) return usual;
  const digest = createHash("sha256").update(name).digest("hex").slice(0, 16);
  const end = `~${digest}${partSuffix}`;
  const bytes = Buffer.from(name);
  let length = maxNameBytes - end.length;
  // Not in the middle of a character.
  while ((bytes[length]! & 0xc0) === 0x80) length -= 1;
  return bytes.toString("utf8", 0, length) + end;
}

export interface Clash {
  readonly file: string;
  readonly other: string;
  /** Whether `other` is the name of `file` while that is incomplete. */
  readonly isPart: boolean;
}

/**
 * Two files that would overwrite each other in a directory with these rules; undefined if there are none.
 *
 * @param chosen names of the files that are to be downloaded
 * @param all names of all files, which may be downloaded later
 */
export function clashOf(
  chosen: readonly string[],
  all: readonly string[],
  rules: NameRules,
): Clash | undefined {
  const earlier = new Map<string, string>();
  for (const name of chosen) {
    const key = nameKey(name, rules);
    const other = earlier.get(key);
    if (other !== undefined) return { file: other, other: name, isPart: false };
    earlier.set(key, name);
  }
  const byKey = new Map(all.map((name) => [nameKey(name, rules), name]));
  for (const file of chosen) {
    const other = byKey.get(nameKey(partName(file), rules));
    if (other !== undefined) return { file, other, isPart: true };
  }
  return undefined;
}
