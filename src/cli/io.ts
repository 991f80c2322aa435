import { once } from "node:events";

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The streams, environment, signals and exit of a command: those of the process, or a test's own. */
export interface Io {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly environment: Environment;
  /** Emits `SIGINT` and `SIGTERM`. */
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
  /** The exit code, set by a command that fails. */
  exitCode: number;
  /** Whether the program ends, with 0, when its output is no longer read. */
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

/** Handles a reader that closes its end of the output early, as `head` does. */
export function handleBrokenPipe(io: Io): void {
  io.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    if (io.endsOnBrokenPipe) io.exit(0);
  });
  io.stderr.on("error", () => {});
}

/** Ends the program once its output is written, even if connections are still open. */
export async function exitWith(code: number, io: Io): Promise<never> {
  for (const stream of [io.stdout, io.stderr]) {
    // A stream that fails has its own handler; one that has failed never drains.
    if (stream.writableNeedDrain && !stream.destroyed) await once(stream, "drain").catch(() => {});
  }
  return io.exit(code);
}
