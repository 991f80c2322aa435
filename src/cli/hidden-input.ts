import { createInterface, type Interface } from "node:readline";
import { Writable } from "node:stream";
import type { Io } from "./io.ts";

/**
 * Asks a question on the terminal and reads a line from the standard input without echoing it.
 *
 * @returns undefined if the input ends or Ctrl-C is pressed instead
 */
export async function askHidden(question: string, { stdin, stderr }: Io): Promise<string | undefined> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const input = createInterface({ input: stdin, output: nowhere, terminal: true });
  // The terminal has stopped echoing only now.
  stderr.write(question);
  try {
    return await firstLine(input);
  } finally {
    stderr.write("\n");
  }
}

/** The same with an echo. */
export function ask(question: string, { stdin, stderr }: Io): Promise<string | undefined> {
  const input = createInterface({ input: stdin, output: stderr, terminal: true });
  input.setPrompt(question);
  input.prompt();
  return firstLine(input);
}

/** Reads one line. @returns undefined if there is none, or Ctrl-C is pressed */
export function firstLine(input: Interface): Promise<string | undefined> {
  return new Promise<string | undefined>((resolve) => {
    input.once("line", resolve);
    input.once("SIGINT", () => input.close());
    input.once("close", () => resolve(undefined));
  }).finally(() => input.close());
}
