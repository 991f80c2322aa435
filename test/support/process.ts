import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { searchPath } from "./executables.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process that a test started. */
export interface Process {
  readonly pid: number;
  /** Its output so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** How it ended; undefined while it runs. */
  readonly exit: Exit | undefined;
  /** Resolves when it has ended and all its output has been read. */
  readonly exited: Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  /** Writes to its standard input, which `stdin` must have requested. */
  type(text: string): void;
  /** SIGKILL, and resolves when it is gone. Does nothing when it has ended already. */
  kill(): Promise<void>;
}

export interface ProcessOptions {
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Whether it has a standard input. */
  readonly input?: boolean;
  /** Directory to remove when this process ends without having done it. */
  readonly scratch?: string;
}

/** Starts a program. It never outlives this process, however that ends. */
export async function startProcess(
  command: string,
  args: readonly string[],
  { env, cwd, input = false, scratch = "" }: ProcessOptions = {},
): Promise<Process> {
  const child = spawn(command, args, {
    stdio: [input ? "pipe" : "ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: searchPath, ...env },
    ...(cwd !== undefined && { cwd }),
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]!.setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
    });
  }
  // Nobody may be there any more to read what is typed.
  child.stdin?.on("error", () => {});
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.once("close", (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  await once(child, "spawn");
  const pid = child.pid!;
  guardPipe().write(`+ ${pid} ${scratch}\n`);
  child.once("exit", () => guardPipe().write(`- ${pid}\n`));
  return {
    pid,
    exited,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    get exit() {
      return exit;
    },
    signal: (signal) => void child.kill(signal),
    type: (text) => void child.stdin!.write(text),
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/**
 * Whether a process has ended. That of a parent that ended before it stays in the table of processes until the
 * system's first process looks, which may take seconds; Linux shows it as a zombie until then.
 */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return true;
  }
  try {
    // The state follows the name, which is in parentheses and may hold any character.
    return /.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    // It is gone since, or the system has no such file.
    return false;
  }
}

/**
 * Node can't ask Linux to end a child with its parent, and 'exit' hooks do not run when a test run is killed. So one
 * shell for each test process reads the children that run, as `+ pid scratch` and `- pid`, from a pipe that only the
 * test process holds open. When the pipe ends, it kills the children that are left and removes their directories. It
 * has a process group of its own, because Ctrl-C goes to the whole group of the terminal.
 */
const guardScript = `
children=' '
while read -r sign pid scratch; do
  case $sign in
    +) children="$children$pid "; eval "scratch_$pid=\\$scratch" ;;
    -) children="\${children%% "$pid" *} \${children#* "$pid" }" ;;
  esac
done
for pid in $children; do
  kill -KILL "$pid"
  eval "scratch=\\$scratch_$pid"
  [ -z "$scratch" ] || rm -rf -- "$scratch"
done`;

let guard: Socket | undefined;

function guardPipe(): Socket {
  if (guard !== undefined) return guard;
  const shell = spawn("/bin/sh", ["-c", guardScript], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  shell.unref();
  guard = shell.stdin as Socket;
  guard.unref();
  return guard;
}
