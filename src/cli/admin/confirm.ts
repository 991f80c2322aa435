import { CliError } from "../failure.ts";
import { ask } from "../hidden-input.ts";
import type { Io } from "../io.ts";

/** @param instead what to do without a terminal @throws CliError `usage` when nobody can be asked */
export function requireTerminal({ stdin }: Io, instead: string): void {
  if (!stdin.isTTY) throw new CliError("usage", `without a terminal nobody can be asked: ${instead}`);
}

/** Asks on the terminal. @param act for example `cancel 3 sessions of URL` @throws CliError unless the answer is yes */
export async function confirm(act: string, io: Io): Promise<void> {
  const answer = await ask(`${act}? Type yes to go on: `, io);
  if (answer === undefined) throw new CliError("interrupted", "nothing was ended");
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError("failed", "nothing was ended");
}
