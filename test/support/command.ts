import { EventEmitter } from "node:events";
import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Io } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/program.ts";
import { type Process, startProcess } from "./process.ts";

export const mainPath = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** The exit code and the output of a command. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** The whole environment of the command. */
  readonly env?: Readonly<Record<string, string>>;
  /** Text of its standard input, which is no terminal. */
  readonly input?: string;
  /** Whether its outputs are terminals. */
  readonly isTerminal?: boolean;
  /** Columns of the terminals. */
  readonly columns?: number;
  /** Code of the error of each write to the standard output, such as ENOSPC. */
  readonly outputError?: string;
}

/** A command that runs in this process. */
export interface Command {
  /** Its output so far. */
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
  /** The exit code; undefined while it runs. */
  readonly code: number | undefined;
  /** Resolves when it has ended. Rejects with an error that is a bug. */
  readonly ended: Promise<Outcome>;
  /** Delivers a signal as if the process had received it. */
  signal(signal: "SIGINT" | "SIGTERM" | "SIGHUP"): void;
}

/** Starts a command in this process, through the function that the real program calls. */
export function startCommand(
  args: readonly string[],
  { env = {}, input = "", isTerminal = false, columns = 100, outputError }: CommandOptions = {},
): Command {
  const terminal = isTerminal ? { isTTY: true, columns, rows: 30 } : {};
  const stdout = Object.assign(new Sink(outputError), terminal);
  const stderr = Object.assign(new Sink(), terminal);
  const signals = new EventEmitter();
  const io: Io = {
    stdin: Readable.from([input]) as unknown as NodeJS.ReadStream,
    stdout: stdout as unknown as NodeJS.WriteStream,
    stderr: stderr as unknown as NodeJS.WriteStream,
    environment: env,
    signals,
    exitCode: 0,
    endsOnBrokenPipe: true,
    exit() {
      throw new Error("a command that runs in a test can't end the process");
    },
  };
  let code: number | undefined;
  const run = async () => {
    code = await runCli(args, io);
    if (code === undefined) throw new Error("the service does not run in a test's process");
    return { code, stdout: stdout.text, stderr: stderr.text };
  };
  return {
    get stdout() {
      return stdout.text;
    },
    get stderr() {
      return stderr.text;
    },
    get stdoutBytes() {
      return stdout.bytes;
    },
    get code() {
      return code;
    },
    ended: run(),
    signal: (signal) => void signals.emit(signal),
  };
}

/** Runs a command in this process to its end. */
export function runCommand(args: readonly string[], options?: CommandOptions): Promise<Outcome> {
  return startCommand(args, options).ended;
}

/** Starts the real program, without the caller's own `DOWNLEASE_…` variables. */
export async function startProgram(
  args: readonly string[],
  { env = {}, cwd, input }: { env?: NodeJS.ProcessEnv; cwd?: string; input?: string } = {},
): Promise<Process> {
  const child = await startProcess(process.execPath, [mainPath, ...args], {
    env: { ...withoutOwn(), ...env },
    ...(cwd !== undefined && { cwd }),
    input: input !== undefined,
  });
  if (input !== undefined) child.type(input);
  return child;
}

/** Runs the real program to its end. */
export async function runProgram(
  args: readonly string[],
  options?: Parameters<typeof startProgram>[1],
): Promise<Outcome> {
  const child = await startProgram(args, options);
  const { code } = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

/** Starts the real program on a terminal of 100 columns that can be typed on; it shows both outputs. */
export function startOnTerminal(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Process> {
  const command = [process.execPath, mainPath, ...args].map((word) => `'${word}'`).join(" ");
  return startProcess("script", ["-qec", `stty cols 100 rows 30; exec ${command}`, "/dev/null"], {
    env: { ...withoutOwn(), SHELL: "/bin/sh", ...env },
    input: true,
  });
}

/** An output stream that keeps what is written. */
class Sink extends Writable {
  readonly #chunks: Buffer[] = [];
  readonly #code: string | undefined;

  /** @param code of the error of each write; undefined for none */
  constructor(code?: string) {
    super();
    this.#code = code;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return this.bytes.toString();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#code !== undefined && chunk.length > 0) {
      // The outputs of a process go on after an error, too.
      this.emit("error", Object.assign(new Error(`${this.#code}: write`), { code: this.#code }));
      return void done();
    }
    this.#chunks.push(Buffer.from(chunk));
    done();
  }
}

function withoutOwn(): NodeJS.ProcessEnv {
  const own = Object.keys(process.env).filter((name) => name.startsWith("DOWNLEASE_"));
  return {
    ...Object.fromEntries(own.map((name) => [name, undefined])),
    // Nor does it read the files of the caller.
    XDG_CONFIG_HOME: "/nonexistent",
    XDG_STATE_HOME: "/nonexistent",
  };
}
