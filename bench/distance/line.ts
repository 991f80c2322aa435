import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { eventually } from "../../test/support/eventually.ts";
import { type Process, type ProcessOptions, startProcess } from "../../test/support/process.ts";

export interface LineOptions {
  readonly congestionControl: "cubic" | "bbr";
  /** One way, in milliseconds. */
  readonly delayMs: number;
  /** Share of the packets of each direction. */
  readonly loss: number;
  readonly bitsPerSecond: number;
  /** Of the packets that are lost. */
  readonly seed: number;
}

/** Two network namespaces that nothing but a long line joins. */
export interface Line extends AsyncDisposable {
  /** Of the far end, as the near end sees it. */
  readonly farAddress: string;
  start(
    end: "near" | "far",
    command: string,
    args: readonly string[],
    options?: ProcessOptions,
  ): Promise<Process>;
}

const [nearAddress, farAddress] = ["10.99.0.1", "10.99.0.2"];

/** Builds the line. Needs root, Go and TUN devices; the kernel does not need netem. */
export async function startLine(options: LineOptions): Promise<Line> {
  const { congestionControl, delayMs, loss, bitsPerSecond, seed } = options;
  const nameOf = (end: "near" | "far") => `downlease-${process.pid}-${end}`;
  const namespaces = [nameOf("near"), nameOf("far")];
  const remove = () => {
    for (const name of namespaces) ip("netns", "delete", name);
  };
  process.once("exit", remove);
  for (const name of namespaces) {
    ip("netns", "add", name);
    ip("-n", name, "link", "set", "lo", "up");
  }
  // A queue of one bandwidth-delay product.
  const queueBytes = (bitsPerSecond / 8) * ((2 * delayMs) / 1000);
  const numbers = [delayMs, loss, bitsPerSecond, queueBytes, seed].map(String);
  const ends = [nameOf("near"), nearAddress, nameOf("far"), farAddress];
  const program = await startProcess(lineProgram(), [...ends, ...numbers], { input: true });
  await eventually("the line", () => {
    if (program.exit !== undefined) throw new Error(program.stderr);
    return program.stdout.includes("ready");
  });
  for (const name of namespaces) {
    // The setting of a namespace takes only what the whole machine allows.
    ip("-n", name, "route", "replace", "10.99.0.0/24", "dev", "line", "congctl", congestionControl);
  }
  return {
    farAddress,
    start: (end, command, args, processOptions) =>
      startProcess("ip", ["netns", "exec", nameOf(end), command, ...args], processOptions),
    async [Symbol.asyncDispose]() {
      await program.kill();
      process.removeListener("exit", remove);
      remove();
    },
  };
}

function ip(...args: readonly string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
}

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

/** Builds the program unless this version of it is built. Returns its path. */
function lineProgram(): string {
  const source = path("line.go");
  const digest = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 16);
  const built = path(`../../node_modules/.cache/bench/line-${digest}`);
  execFileSync("go", ["build", "-o", built, source], { stdio: ["ignore", "ignore", "inherit"] });
  return built;
}
