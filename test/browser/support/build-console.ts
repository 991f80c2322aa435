import { globSync, statSync } from "node:fs";
import { join } from "node:path";
import { buildConsole, root } from "../../../deploy/package/build.ts";

/** Builds the pages, unless they are newer than all that they are made of. */
export default function setup(): void {
  const sources = globSync(["src/console/**/*", "gen/**/*.ts", "package-lock.json"], { cwd: root });
  const newest = Math.max(...sources.map((path) => statSync(join(root, path)).mtimeMs));
  const built = statSync(join(root, "dist/console/index.html"), { throwIfNoEntry: false });
  if (newest > (built?.mtimeMs ?? 0)) buildConsole();
}
