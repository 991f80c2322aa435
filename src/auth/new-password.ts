import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import { isPassword } from "./basic-credentials.ts";
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
  const password = (
    stdin.isTTY ? await askTwice(name) : await line(createInterface({ input: stdin }))
  ).normalize("NFC");
  if ([...password].length < fewestCharacters) {
    throw new UsersError(`a password has at least ${fewestCharacters} characters`);
  }
  if (!isPassword(password)) {
    throw new UsersError("a password has no control characters and at most 1024 bytes");
  }
  return password;
}

async function askTwice(name: string): Promise<string> {
  const password = await ask(`Password of ${name}: `);
  if ((await ask("Again: ")) !== password) throw new UsersError("the two passwords differ");
  return password;
}

async function ask(question: string): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const input = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  // Only now is nothing echoed any more.
  process.stderr.write(question);
  try {
    return await line(input);
  } finally {
    process.stderr.write("\n");
  }
}

function line(input: Interface): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    input.once("line", resolve);
    input.once("SIGINT", () => input.close());
    input.once("close", () => reject(new UsersError("no password was given")));
  }).finally(() => input.close());
}
