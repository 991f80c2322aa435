import { readSmallFile, SmallFileError } from "./small-file.ts";

/** What a secret setting and the flag that names a file for it have in common. */
interface Named<Name extends string> {
  /** For example `redisUrl`. */
  readonly name: Name;
  readonly variable: string;
}

/**
 * The twin of a secret setting, which names a file that holds the value: every user of a machine can see the arguments
 * of a process, and programs that it starts inherit its variables.
 */
export function fileTwinOf<Name extends string>({ name, variable }: Named<Name>) {
  const words = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return {
    name: `${name}File`,
    flag: `--${words}-file`,
    usage: `--${words}-file <path>`,
    variable: `${variable}_FILE`,
    help: `file that holds the ${words.replaceAll("-", " ")}`,
  } as const;
}

const maxBytes = 65_536;

/**
 * Reads the value of a secret setting. Line breaks at its end do not belong to it.
 *
 * @throws SmallFileError, which quotes neither the content nor the path of the file
 */
export function readSecretFile(path: string): string {
  const value = readSmallFile(path, maxBytes).text.replace(/[\r\n]+$/, "");
  if (value === "") throw new SmallFileError("names a file that is empty");
  return value;
}
