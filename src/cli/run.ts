import { once } from "node:events";
import type { CallOptions } from "@connectrpc/connect";
import type { Downlease } from "../client/connect.ts";
import { openServer, type ServerFlags } from "./connection.ts";
import { exitCodes } from "./exit-codes.ts";
import { CliError, explain } from "./failure.ts";
import { Output } from "./output.ts";

/** What a command has to work with. */
export interface Task<Flags = object> {
  readonly server: Downlease;
  readonly output: Output;
  /** Of every call: its time limit, and Ctrl-C. */
  readonly call: CallOptions & { readonly signal: AbortSignal };
  readonly operands: readonly string[];
  readonly flags: Flags;
}

export interface CommonFlags extends ServerFlags {
  readonly json?: boolean;
}

const callMs = 15_000;

/**
 * Does what a command is to do, tells what went wrong, and gives the exit code. The first SIGINT or SIGTERM lets the command end by
 * itself, the second ends the process.
 *
 * @throws what is a bug
 */
export async function runTask<Flags extends CommonFlags>(
  flags: Flags,
  operands: readonly string[],
  task: (task: Task<Flags>) => Promise<void>,
): Promise<number> {
  const output = new Output({ json: flags.json });
  const stop = new AbortController();
  const stopOn = (signal: "SIGINT" | "SIGTERM", exit: "interrupted" | "terminated") =>
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(exitCodes[exit].code);
      stop.abort(new CliError(exit, ""));
    });
  try {
    const server = await openServer(flags);
    // Not before the terminal has been asked, where Ctrl-C is a character.
    stopOn("SIGINT", "interrupted");
    stopOn("SIGTERM", "terminated");
    await using _ = server;
    await task({ server, output, call: { signal: stop.signal, timeoutMs: callMs }, operands, flags });
    stop.signal.throwIfAborted();
    return exitCodes.ok.code;
  } catch (error) {
    // Whatever a call that was broken off says, it was broken off.
    const failure = stop.signal.aborted && !(error instanceof CliError) ? stop.signal.reason : error;
    const told = explain(failure, flags.server ?? "");
    if (told === undefined) throw failure;
    if (told.message !== "") output.tell(told.message);
    return exitCodes[told.exit].code;
  }
}

/** Ends the process when all that was written is out, whatever connections are still open. */
export async function exitWith(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.writableNeedDrain) await once(stream, "drain");
  }
  process.exit(code);
}
