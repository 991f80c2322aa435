import { createInterface } from "node:readline";
import { isPassword } from "../../auth/basic-credentials.ts";
import { askHidden, firstLine } from "../hidden-input.ts";
import { UsersError } from "./edit-users.ts";

/** What people can't be kept from choosing is at least not guessed at once (NIST SP 800-63B, section 3.1.1.2). */
const fewestCharacters = 8;

/**
 * A new password from the standard input: asked for twice without echo on a terminal, else its first line.
 *
 * @throws UsersError when there is none, or none that can be used
 */
export async function readNewPassword(name: string): Promise<string> {
  const { stdin } = process;
  const given = stdin.isTTY ? await askTwice(name) : await firstLine(createInterface({ input: stdin }));
  if (given === undefined) throw new UsersError("no password was given");
  const password = given.normalize("NFC");
  if ([...password].length < fewestCharacters) {
    throw new UsersError(`a password has at least ${fewestCharacters} characters`);
  }
  if (!isPassword(password)) {
    throw new UsersError("a password has no control characters and at most 1024 bytes");
  }
  return password;
}

async function askTwice(name: string): Promise<string | undefined> {
  const password = await askHidden(`Password of ${name}: `);
  const again = password === undefined ? undefined : await askHidden("Again: ");
  if (again !== undefined && again !== password) throw new UsersError("the two passwords differ");
  return again;
}
