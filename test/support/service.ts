import { eventually } from "./eventually.ts";
import { type Exit, startProcess } from "./process.ts";
import { bundledProgram } from "./program.ts";

/** The real program in a process of its own. */
export interface Service extends AsyncDisposable {
  /** `http://host:port` */
  readonly url: string;
  readonly port: number;
  /** Where health and metrics are. */
  readonly adminUrl: string;
  readonly pid: number;
  /** Its log so far, one object a line. */
  readonly logs: readonly LogLine[];
  /** Its standard output and error so far. */
  readonly output: string;
  readonly exited: Promise<Exit>;
  /** SIGTERM, and resolves with how it ended. A process that does not end within 30 s is killed. */
  stop(): Promise<Exit>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export type LogLine = Readonly<Record<string, unknown>>;

const stopMs = 30_000;

/**
 * Starts `downlease serve` on a free loopback port; resolves when it is ready.
 *
 * @param args flags, for example `["--redis-url", url]`; without a store, sessions are kept in memory
 * @param env added to the environment, from which the caller's own `DOWNLEASE_…` variables are removed
 * @param main the program, a script or an executable, when it is not that of this checkout
 */
export async function startService(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  main = bundledProgram,
): Promise<Service> {
  const own = Object.keys(process.env).filter((name) => name.startsWith("DOWNLEASE_"));
  const isScript = /\.[jt]s$/.test(main);
  const program = await startProcess(
    isScript ? process.execPath : main,
    [...(isScript ? [main] : []), "serve", "--port", "0", "--log-format", "json", ...args],
    {
      env: {
        ...Object.fromEntries(own.map((name) => [name, undefined])),
        DOWNLEASE_SQLITE_PATH: ":memory:",
        DOWNLEASE_ADMIN_LISTEN: "127.0.0.1:0",
        ...env,
      },
    },
  );
  const logs = linesOf(program);
  await eventually("downlease to be ready", () => program.exit !== undefined || readyUrl(logs()), {
    withinMs: 30_000,
  });
  const url = readyUrl(logs());
  if (url === undefined) throw new Error(`downlease did not start: ${program.stderr}${program.stdout}`);
  const stop = async () => {
    program.signal("SIGTERM");
    const patience = setTimeout(() => program.signal("SIGKILL"), stopMs);
    const exit = await program.exited;
    clearTimeout(patience);
    return exit;
  };
  return {
    url,
    port: Number(new URL(url).port),
    adminUrl: String(logs().find((line) => line.url === url)?.adminUrl),
    pid: program.pid,
    get logs() {
      return logs();
    },
    get output() {
      return program.stdout + program.stderr;
    },
    exited: program.exited,
    stop,
    kill: () => program.kill(),
    [Symbol.asyncDispose]: () => program.kill(),
  };
}

function readyUrl(logs: readonly LogLine[]): string | undefined {
  const url = logs.find((line) => typeof line.url === "string")?.url;
  return url as string | undefined;
}

/** Parses each line once: tests poll the log, and some have thousands of lines. */
function linesOf(program: { readonly stdout: string }): () => readonly LogLine[] {
  const lines: LogLine[] = [];
  let parsedLength = 0;
  return () => {
    // The last line may not be complete yet.
    const end = program.stdout.lastIndexOf("\n") + 1;
    if (end > parsedLength)
      lines.push(...program.stdout.slice(parsedLength, end).split("\n").flatMap(parsed));
    parsedLength = end;
    return lines.slice();
  };
}

/** Not every line is JSON. */
function parsed(line: string): LogLine[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
