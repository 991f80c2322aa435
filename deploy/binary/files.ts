/** The files that the program reads beside its code. In the executable they are assets of it. */
import fs from "node:fs";
import { getRawAsset, isSea } from "node:sea";

/** What the code in the executable takes for the top of the checkout. */
export const assetRoot = "file:///downlease/";

/** Lets `readFileSync` read the assets. It comes before all other code, whose files are read when it is loaded. */
if (isSea()) {
  const { readFileSync } = fs;
  const readAsset = (path: fs.PathOrFileDescriptor, options?: unknown): unknown => {
    const url = path instanceof URL ? path.href : "";
    if (!url.startsWith(assetRoot)) return readFileSync(path, options as BufferEncoding);
    const bytes = Buffer.from(getRawAsset(decodeURIComponent(url.slice(assetRoot.length))));
    return options === "utf8" ? bytes.toString() : bytes;
  };
  fs.readFileSync = readAsset as typeof readFileSync;
}
