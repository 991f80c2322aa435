import { readFileSync } from "node:fs";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));

/** Name and release of this program. */
export const program: { readonly name: string; readonly version: string } = {
  name: manifest.name,
  version: manifest.version,
};
