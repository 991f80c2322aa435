/** Runs every benchmark, one after the other; arguments go to the first. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

for (const name of ["keep-alive.ts", "sessions.ts"]) {
  const args = name === "keep-alive.ts" ? process.argv.slice(2) : [];
  const file = fileURLToPath(new URL(name, import.meta.url));
  const { status } = spawnSync(process.execPath, [file, ...args], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
