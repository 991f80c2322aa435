import { globSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const built = `${root}/dist/console/index.html`;

/** Builds the pages, unless they are newer than all that they are made of. */
export default async function setup(): Promise<void> {
  const sources = globSync(["src/console/**/*", "gen/**/*.ts", "package-lock.json"], { cwd: root });
  const newest = Math.max(...sources.map((path) => statSync(`${root}/${path}`).mtimeMs));
  const { mtimeMs = 0 } = statSync(built, { throwIfNoEntry: false }) ?? {};
  if (newest > mtimeMs) await build({ root: `${root}/src/console`, logLevel: "warn" });
}
