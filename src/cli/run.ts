import type { CallOptions } from "@connectrpc/connect";
import type { Downlease } from "../client/connect.ts";
import { isDumbTerminal } from "../config/client-settings.ts";
import { openServer, type ServerFlags } from "./connection.ts";
import { exitCodes } from "./exit-codes.ts";
import { CliError, explain } from "./failure.ts";
import type { Io } from "./io.ts";
import { Output } from "./output.ts";

/** A command line of a command that calls a service. */
export interface TaskInput<Flags> {
  readonly flags: Flags;
  readonly operands: readonly string[];
  readonly io: Io;
}

/** One run of a command that calls a service. */
export interface Task<Flags = object> extends TaskInput<Flags> {
  readonly server: Downlease;
  readonly output: Output;
  /** Options of every call: the time limit, and the signal that Ctrl-C aborts. */
  readonly call: CallOptions & { readonly signal: AbortSignal };
}

export interface CommonFlags extends ServerFlags {
  readonly json?: boolean;
}

const callMs = 15_000;

/** The signals that end a command, with its exit. */
const signals = { SIGINT: "interrupted", SIGTERM: "terminated", SIGHUP: "hung_up" } as const;

/**
 * Runs a command and reports its failure in one line. The first signal aborts the calls and lets the command end by itself;
 * the second ends the program immediately.
 *
 * @returns the exit code
 * @throws anything that is a bug
 */
export async function runTask<Flags extends CommonFlags>(
  input: TaskInput<Flags>,
  work: (task: Task<Flags>) => Promise<void>,
): Promise<number> {
  const { flags, io } = input;
  const output = new Output({
    json: flags.json,
    isDumb: isDumbTerminal(io.environment),
    out: io.stdout,
    err: io.stderr,
  });
  const aborted = new AbortController();
  const handlers = Object.entries(signals).map(([signal, exit]) => {
    const handle = () => {
      if (aborted.signal.aborted) io.exit(exitCodes[exit].code);
      aborted.abort(new CliError(exit, ""));
    };
    return [signal, handle] as const;
  });
  const onOutputError = () => {
    // The failure itself is reported when the program ends.
    if (io.endsOnBrokenPipe) aborted.abort(new CliError("disk", ""));
  };
  try {
    const server = await openServer(flags, io);
    // Only after the password prompt, where Ctrl-C is a character.
    for (const [signal, handle] of handlers) io.signals.on(signal, handle);
    io.stdout.on("error", onOutputError);
    await using _ = server;
    const call = { signal: aborted.signal, timeoutMs: callMs };
    await work({ ...input, server, output, call });
    aborted.signal.throwIfAborted();
    return exitCodes.ok.code;
  } catch (error) {
    // An aborted call may fail in any way; the signal is the reason.
    const failure = aborted.signal.aborted && !(error instanceof CliError) ? aborted.signal.reason : error;
    const explanation = explain(failure, flags.server ?? "");
    if (explanation === undefined) throw failure;
    if (explanation.message !== "") output.note(explanation.message);
    return exitCodes[explanation.exit].code;
  } finally {
    // After a signal the program ends with its exit code, also when another one comes before that.
    if (!aborted.signal.aborted) for (const [signal, handle] of handlers) io.signals.off(signal, handle);
    io.stdout.off("error", onOutputError);
  }
}
