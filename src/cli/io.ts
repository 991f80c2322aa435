import { exitCodes } from "./exit-codes.ts";
import { fileProblem } from "./file-problem.ts";

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The streams, environment, signals and exit of a command: those of the process, or a test's own. */
export interface Io {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Environment;
  /** Emits `SIGINT`, `SIGTERM` and `SIGHUP`. */
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
  /** The exit code, set by a command that fails. */
  exitCode: number;
  /** Whether the command ends when its output is no longer read, with 0, or can't be written. */
  endsOnBrokenPipe: boolean;
  /** Ends the program immediately. */
  exit(code: number): never;
}

/** Those of this process. */
export function processIo(environment: Environment): Io {
  const { stdin, stdout, stderr } = process;
  return {
    stdin,
    stdout,
    stderr,
    environment,
    signals: process,
    exitCode: 0,
    endsOnBrokenPipe: true,
    exit: (code) => process.exit(code),
  };
}

/** Follows the outputs of a program, so that none of what is written is lost without a word. */
export class OutputWatch {
  readonly #io: Io;
  /** The first error of the standard output. */
  #failure: unknown;

  constructor(io: Io) {
    this.#io = io;
    io.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") this.#failure ??= error;
      // The reader has closed its end early, as `head` does.
      else if (io.endsOnBrokenPipe) io.exit(exitCodes.ok.code);
    });
    io.stderr.on("error", () => {});
  }

  /** Waits until everything is written, and reports a failure. Returns the exit code, which is never that of success then. */
  async end(code: number): Promise<number> {
    const { stdout, stderr } = this.#io;
    await Promise.all([stdout, stderr].map(written));
    if (this.#failure === undefined) return code;
    stderr.write(`downlease: the output can't be written: ${fileProblem(this.#failure)}\n`);
    await written(stderr);
    return code === exitCodes.ok.code ? exitCodes.disk.code : code;
  }
}

/** Resolves when all that was written before has been accepted or has failed, and the error has been emitted. */
function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => setImmediate(resolve)));
}
