import { closeSync, openSync, readSync } from "node:fs";

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

/** What is wrong with the file of a secret. Its message quotes neither its content nor its path. */
export class SecretFileError extends Error {
  override readonly name = "SecretFileError";
}

/**
 * Reads the value of a secret setting. Line breaks at its end do not belong to it.
 *
 * @throws SecretFileError, whose message follows the name of the setting
 */
export function readSecretFile(path: string): string {
  const bytes = readUpTo(path, maxBytes + 1);
  if (bytes.byteLength > maxBytes) throw new SecretFileError(`names a file of more than ${maxBytes} bytes`);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new SecretFileError("names a file that is not UTF-8");
  }
  const value = text.replace(/[\r\n]+$/, "");
  if (value === "") throw new SecretFileError("names a file that is empty");
  return value;
}

/** Not more, because a device may have no end. */
function readUpTo(path: string, limit: number): Uint8Array {
  const buffer = new Uint8Array(limit);
  let length = 0;
  try {
    const fd = openSync(path, "r");
    try {
      for (let count = 1; count > 0 && length < limit; length += count) {
        count = readSync(fd, buffer, length, limit - length, null);
      }
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new SecretFileError(`names a file that can't be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return buffer.subarray(0, length);
}
