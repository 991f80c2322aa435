import type { CallOptions } from "@connectrpc/connect";
import type { Downlease } from "../client/connect.ts";
import { isDumbTerminal } from "../config/client-settings.ts";
import { openServer, openServerToLogIn } from "./connection.ts";
import { exitCodes } from "./exit-codes.ts";
import { CliError, explain } from "./failure.ts";
import type { Io } from "./io.ts";
import { Output } from "./output.ts";
import { chooseServer, type ServerChoice } from "./server-choice.ts";
import type { ServerFlags } from "./server-options.ts";

/** A command line of a command that calls a service. */
export interface TaskInput<Flags> {
  readonly flags: Flags;
  readonly operands: readonly string[];
  readonly io: Io;
  /** Whether the command opens or closes a login session itself. */
  readonly logsIn?: boolean;
}

/** One run of a command that calls a service. */
export interface Task<Flags = object> extends TaskInput<Flags> {
  /** With the settings of the server that are not on the command line. */
  readonly flags: Flags & ServerChoice;
  readonly server: Downlease;
  readonly output: Output;
  /** Options of every call: the time limit, and the signal that Ctrl-C aborts. */
  readonly call: CallOptions & { readonly signal: AbortSignal };
}

/** One run of a command that calls no service. */
export interface LocalTask<Flags = object> extends TaskInput<Flags> {
  readonly output: Output;
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
  const output = outputOf(input);
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
  let url = flags.server ?? "";
  try {
    const choice = await chooseServer(flags, io.environment);
    url = choice.server;
    const server = await (input.logsIn ? openServerToLogIn(choice, io) : openServer(choice, io));
    // Only after the password prompt, where Ctrl-C is a character.
    for (const [signal, handle] of handlers) io.signals.on(signal, handle);
    io.stdout.on("error", onOutputError);
    await using _ = server;
    const call = { signal: aborted.signal, timeoutMs: callMs };
    await work({ ...input, flags: { ...flags, ...choice }, server, output, call });
    aborted.signal.throwIfAborted();
    return exitCodes.ok.code;
  } catch (error) {
    // An aborted call may fail in any way; the signal is the reason.
    const failure = aborted.signal.aborted && !(error instanceof CliError) ? aborted.signal.reason : error;
    const explanation = explain(failure, url);
    if (explanation === undefined) throw failure;
    if (explanation.message !== "") output.note(explanation.message);
    return exitCodes[explanation.exit].code;
  } finally {
    // After a signal the program ends with its exit code, also when another one comes before that.
    if (!aborted.signal.aborted) for (const [signal, handle] of handlers) io.signals.off(signal, handle);
    io.stdout.off("error", onOutputError);
  }
}

/** Runs a command that calls no service, and reports its failure in one line. @returns the exit code */
export async function runLocalTask<Flags extends Pick<CommonFlags, "json">>(
  input: TaskInput<Flags>,
  work: (task: LocalTask<Flags>) => Promise<void>,
): Promise<number> {
  const output = outputOf(input);
  try {
    await work({ ...input, output });
    return exitCodes.ok.code;
  } catch (error) {
    const explanation = explain(error, "");
    if (explanation === undefined) throw error;
    output.note(explanation.message);
    return exitCodes[explanation.exit].code;
  }
}

function outputOf({ flags, io }: TaskInput<Pick<CommonFlags, "json">>): Output {
  const isDumb = isDumbTerminal(io.environment);
  return new Output({ json: flags.json, isDumb, out: io.stdout, err: io.stderr });
}
