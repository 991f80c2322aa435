import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./build.ts";

const manifest = join(root, "package.json");
/** The checkout's own, while the package's is in its place. */
const kept = join(root, "package.json.checkout");

/** Puts the package's manifest in the place of the checkout's, which leads to TypeScript. */
export function usePackageManifest(): void {
  const text = readFileSync(manifest, "utf8");
  const ours = JSON.parse(text);
  const packed = {
    ...ours,
    exports: {
      "./client": { types: "./dist/src/client/index.d.ts", default: "./dist/src/client/index.js" },
      "./package.json": "./package.json",
    },
    bin: { downlease: "dist/src/main.js" },
    // Of no use to those who install it. The scripts stay: npm looks for `postpack` in one manifest or the other.
    devDependencies: undefined,
    allowScripts: undefined,
  };
  writeFileSync(kept, text);
  writeFileSync(`${manifest}.new`, `${JSON.stringify(packed, undefined, 2)}\n`);
  renameSync(`${manifest}.new`, manifest);
}

/** Puts the checkout's manifest back, if it is not in its place. */
export function useCheckoutManifest(): void {
  if (existsSync(kept)) renameSync(kept, manifest);
}
