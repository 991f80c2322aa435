import "./files.ts";
import cluster from "node:cluster";
import { processIo } from "../../src/cli/io.ts";
import { runCli } from "../../src/cli/program.ts";

/** As `src/main.ts`, for the executable: its code is not on the disk, and its Node.js is the right one. */
async function main(): Promise<void> {
  const io = processIo(process.env);
  // A worker gets the path of the executable once more, where Node.js has the path of a script.
  const code = await runCli(process.argv.slice(cluster.isWorker ? 3 : 2), io);
  if (code !== undefined) io.exit(code);
}

// What it throws is a bug: it ends the process with a stack.
void main();
