import { createInterface } from "node:readline";
import { isPassword } from "../../auth/basic-credentials.ts";
import { askHidden, firstLine } from "../hidden-input.ts";
import type { Io } from "../io.ts";
import { UsersError } from "./edit-users.ts";

/** The minimum of NIST SP 800-63B, section 3.1.1.2, against passwords that are guessed immediately. */
const minCharacters = 8;

/**
 * Reads a new password: on a terminal it is asked for twice without echo, otherwise it is the first line of the standard input.
 *
 * @throws UsersError if there is none, or it is not acceptable
 */
export async function readNewPassword(name: string, io: Io): Promise<string> {
  const { stdin } = io;
  const text = stdin.isTTY ? await askTwice(name, io) : await firstLine(createInterface({ input: stdin }));
  if (text === undefined) throw new UsersError("no password was entered");
  const password = text.normalize("NFC");
  if ([...password].length < minCharacters) {
    throw new UsersError(`a password must have at least ${minCharacters} characters`);
  }
  if (!isPassword(password)) {
    throw new UsersError("a password must have no control characters and at most 1024 bytes");
  }
  return password;
}

async function askTwice(name: string, io: Io): Promise<string | undefined> {
  const password = await askHidden(`Password of ${name}: `, io);
  const again = password === undefined ? undefined : await askHidden("Again: ", io);
  if (again !== undefined && again !== password) throw new UsersError("the two passwords differ");
  return again;
}
