import { CliError } from "../failure.ts";
import { ask } from "../hidden-input.ts";
import type { Io } from "../io.ts";

/**
 * Asks on the terminal before something is done that others notice.
 *
 * @param question made once it is clear that somebody can be asked
 * @param refusal the message for any answer but yes
 * @throws CliError unless the answer is yes
 */
export async function confirm(
  io: Io,
  question: () => string | Promise<string>,
  refusal: string,
): Promise<void> {
  if (!io.stdin.isTTY) throw new CliError("usage", "nobody can be asked on this input: confirm with --yes");
  const answer = await ask(`${await question()} [y/N] `, io);
  if (!/^y(es)?$/i.test(answer?.trim() ?? "")) throw new CliError("failed", refusal);
}
