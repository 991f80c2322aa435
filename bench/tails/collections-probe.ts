/** Loaded into a server before its own code (`--import`): writes each garbage collection as a line of a file. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { watchCollections } from "./watch-collections.ts";

/** Environment variable that names the directory of the files, which are named after the process ids. */
const directory = process.env.BENCH_COLLECTIONS_DIRECTORY;
if (directory !== undefined) {
  const path = join(directory, String(process.pid));
  watchCollections((begin, end) => appendFileSync(path, `${begin} ${end}\n`));
}
