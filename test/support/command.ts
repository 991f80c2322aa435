import { fileURLToPath } from "node:url";
import { type Process, startProcess } from "./process.ts";

export const mainPath = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** How a command ended, and what it wrote. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts a command of the real program, without the caller's own `DOWNLEASE_…` variables. */
export function startCommand(
  args: readonly string[],
  { env = {}, cwd }: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Process> {
  return startProcess(process.execPath, [mainPath, ...args], {
    env: { ...withoutOwn(), ...env },
    ...(cwd !== undefined && { cwd }),
  });
}

/** Starts a command on a terminal of 100 columns, on which can be typed; its output and its errors are one. */
export function startOnTerminal(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Process> {
  const command = [process.execPath, mainPath, ...args].map((word) => `'${word}'`).join(" ");
  return startProcess("script", ["-qec", `stty cols 100 rows 30; exec ${command}`, "/dev/null"], {
    env: { ...withoutOwn(), SHELL: "/bin/sh", ...env },
    input: true,
  });
}

/** Runs a command to its end. */
export async function runCommand(
  args: readonly string[],
  options?: Parameters<typeof startCommand>[1],
): Promise<Outcome> {
  const child = await startCommand(args, options);
  const { code } = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

function withoutOwn(): NodeJS.ProcessEnv {
  const own = Object.keys(process.env).filter((name) => name.startsWith("DOWNLEASE_"));
  return Object.fromEntries(own.map((name) => [name, undefined]));
}
