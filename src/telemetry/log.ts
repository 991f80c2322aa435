import { type DestinationStream, type Logger, pino } from "pino";
import type { LogLevel } from "../domain/settings-schema.ts";

export type { LogLevel };

export interface LogOptions {
  /** Minimum level to log, or `silent`. */
  readonly level: LogLevel;
  /** `auto`: `pretty` on a terminal, else `json`. */
  readonly format: "auto" | "pretty" | "json";
}

/**
 * Makes the log of the process, on its standard output. Without the package that makes lines readable, `auto` is JSON.
 *
 * @throws Error for the operator when `pretty` needs that package
 */
export async function createLogger({ level, format }: LogOptions): Promise<Logger> {
  // The reader of the log may close its end; the service goes on without it.
  process.stdout.on("error", () => {});
  const pretty = await prettyOutput(format);
  return pino(
    {
      level,
      base: null,
      timestamp: isoTime(),
      formatters: { level: (label) => ({ level: label }) },
    },
    pretty ?? bufferedOutput(),
  );
}

/** Pino's `isoTime`, made once a millisecond instead of once a line. */
function isoTime(): () => string {
  let madeAt = 0;
  let text = "";
  return () => {
    const now = Date.now();
    if (now !== madeAt) {
      madeAt = now;
      text = `,"time":"${new Date(now).toISOString()}"`;
    }
    return text;
  };
}

/** PIPE_BUF of Linux: writes up to this size do not mix with those of other processes, here of other workers. */
const unmixedBytes = 4096;

/**
 * Writes the lines of one turn of the event loop together. Measured on a pipe with 20 lines a turn: about 5 µs a
 * line all in, where `pino.destination` takes 8 to 13 µs with a buffer of its own and up to 70 µs without.
 */
function bufferedOutput(): DestinationStream {
  let pending = "";
  let pendingBytes = 0;
  const flush = () => {
    process.stdout.write(pending);
    pending = "";
    pendingBytes = 0;
  };
  process.on("exit", flush);
  return {
    write(line) {
      const bytes = Buffer.byteLength(line);
      if (pending === "") setImmediate(flush);
      else if (pendingBytes + bytes > unmixedBytes) flush();
      pending += line;
      pendingBytes += bytes;
    },
  };
}

/** Undefined for JSON. */
async function prettyOutput(format: LogOptions["format"]): Promise<DestinationStream | undefined> {
  const { stdout } = process;
  if (format === "json" || (format === "auto" && !stdout.isTTY)) return undefined;
  const module = await import("./pretty-log.ts").catch((error: unknown) => {
    if (!isMissing(error)) throw error;
    if (format === "auto") return undefined;
    throw new Error(
      "readable log lines need the package pino-pretty, an optional dependency that is not installed: " +
        "set --log-format json, or install downlease without --omit=optional",
      { cause: error },
    );
  });
  if (module === undefined) return undefined;
  const line = module.prettyLine(stdout.isTTY && module.isColorSupported);
  return { write: (json) => void stdout.write(line(json)) };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("Cannot find package 'pino-pretty'");
}
