import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";

/**
 * Asks on the terminal and reads a line of the standard input, which is not shown while it is typed.
 *
 * @returns undefined when it is ended or interrupted instead
 */
export async function askHidden(question: string): Promise<string | undefined> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const input = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  // Only now is nothing echoed any more.
  process.stderr.write(question);
  try {
    return await firstLine(input);
  } finally {
    process.stderr.write("\n");
  }
}

/** @returns undefined when there is none, or Ctrl-C is pressed */
export function firstLine(input: Interface): Promise<string | undefined> {
  return new Promise<string | undefined>((resolve) => {
    input.once("line", resolve);
    input.once("SIGINT", () => input.close());
    input.once("close", () => resolve(undefined));
  }).finally(() => input.close());
}
