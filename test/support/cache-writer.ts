/** Begins to fill a cache and stands still in the middle of a block: `node cache-writer.ts <cache directory>`. */
import { blockBytes } from "../../src/content/cache/blocks.ts";
import { CachedContentSource } from "../../src/content/cache/cached-content-source.ts";
import { StorageFile, sourceOf } from "./located-source.ts";

const [path = ""] = process.argv.slice(2);
const file = new StorageFile(2 * blockBytes, "of the writer");
const source = await CachedContentSource.open(sourceOf({ i: file }), { path, limit: 1e9 });
const reader = (await source.openFile("i", "disk", file.identity))!.reader();
const half = 1.5 * blockBytes;
for (let read = 0; read < half; ) read += await reader.read(new Uint8Array(Math.min(65_536, half - read)));
process.stdout.write("half\n");
setInterval(() => {}, 1_000);
