import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A module that is named by its path: in declarations, and where a file is opened beside the code. */
const moduleName = /((?:from |import |import\(|new URL\()"\.{1,2}\/[^"]+)\.ts"/g;

/**
 * Makes the package in `dist/`, or elsewhere: Node.js strips no types inside of `node_modules`. It has what `src/` and
 * `gen/` have, as JavaScript with declarations, everything else that lies there as it is, and a manifest of its own.
 */
export function build(dist = join(root, "dist")): void {
  rmSync(dist, { recursive: true, force: true });
  const tsc = join(root, "node_modules/.bin/tsc");
  execFileSync(tsc, ["-p", join(root, "deploy/package/tsconfig.json"), "--outDir", dist], {
    stdio: "inherit",
  });
  cpSync(join(root, "src"), join(dist, "src"), {
    recursive: true,
    filter: (source) => !source.endsWith(".ts"),
  });
  cpSync(join(root, "proto"), join(dist, "proto"), {
    recursive: true,
    filter: (path) => !path.endsWith(".binpb"),
  });
  for (const name of ["README.md", "LICENSE", "CHANGELOG.md"]) cpSync(join(root, name), join(dist, name));
  writeFileSync(join(dist, "package.json"), `${JSON.stringify(manifest(), undefined, 2)}\n`);
  for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
    if (/\.(js|d\.ts)$/.test(name)) pointToJavaScript(join(dist, name));
  }
}

/** That of the checkout without what is of no use to those who install the package. */
function manifest(): object {
  const ours = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return {
    ...ours,
    exports: {
      "./client": { types: "./src/client/index.d.ts", default: "./src/client/index.js" },
      "./package.json": "./package.json",
    },
    bin: { downlease: "src/main.js" },
    scripts: undefined,
    devDependencies: undefined,
    allowScripts: undefined,
  };
}

/** `tsc` rewrites imports in code only. */
function pointToJavaScript(path: string): void {
  const text = readFileSync(path, "utf8");
  const rewritten = text.replace(moduleName, '$1.js"');
  const left = /"\.{1,2}\/[^"\n]*(?<!\.d)\.ts"/.exec(rewritten);
  if (left !== null) throw new Error(`${path} still names ${left[0]}`);
  if (rewritten !== text) writeFileSync(path, rewritten);
}

if (import.meta.main) build();
