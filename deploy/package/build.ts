import { execFileSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { clientManifest, importedPackages, serviceManifest } from "./manifests.ts";
import { dropDeadLinks } from "./pages.ts";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A module that is named by its path: in declarations, and where a file is opened beside the code. */
const moduleName = /((?:from |import |import\(|new URL\()"\.{1,2}\/[^"]+)\.ts"/g;

/**
 * Makes the package `downlease` in `dist/downlease`, or elsewhere: Node.js strips no types inside of `node_modules`. It
 * has what `src/` and `gen/` have, as JavaScript with declarations, everything else that lies there as it is, the pages
 * of the console, the documentation, and a manifest of its own.
 */
export function build(dist = join(root, "dist/downlease")): void {
  rmSync(dist, { recursive: true, force: true });
  const tsc = join(root, "node_modules/.bin/tsc");
  execFileSync(tsc, ["-p", join(root, "deploy/package/tsconfig.json"), "--outDir", dist], {
    stdio: "inherit",
  });
  copy("src", dist, (path) => !path.endsWith(".ts") && !path.startsWith("src/console"));
  copy("gen/openapi.json", dist);
  copyPages(dist, "downlease", [
    "SECURITY.md",
    "deploy/haproxy.cfg",
    "deploy/nginx.conf",
    "deploy/systemd",
    "examples/clients",
  ]);
  // A picture of the console is of no use beside the console, and figures of a benchmark are none without it.
  const isLeftOut = /\.ts$|decisions|^docs\/images|^docs\/performance\.json$/;
  copy("docs", dist, (path) => !isLeftOut.test(path));
  dropDeadLinks(dist);
  writeJson(join(dist, "package.json"), serviceManifest(readManifest()));
  for (const name of filesIn(dist)) {
    if (/\.(js|d\.ts)$/.test(name)) pointToJavaScript(join(dist, name));
  }
  buildConsole(join(dist, "dist/console"));
}

/**
 * Makes the package `@downlease/client` in `dist/client`, or elsewhere, of the code in the package `downlease`: the SDK,
 * and what is generated from the interface.
 */
export function buildClient(service = join(root, "dist/downlease"), dist = join(root, "dist/client")): void {
  rmSync(dist, { recursive: true, force: true });
  for (const name of ["src/client", "gen"]) {
    const filter = (source: string) => !source.endsWith("openapi.json");
    cpSync(join(service, name), join(dist, name), { recursive: true, filter });
  }
  copyPages(dist, "client", ["docs/sdk.md", "examples/clients/typescript"]);
  dropDeadLinks(dist);
  const code = filesIn(dist).filter((name) => name.endsWith(".js"));
  const packages = importedPackages(code.map((name) => readFileSync(join(dist, name), "utf8")));
  writeJson(join(dist, "package.json"), clientManifest(readManifest(), packages));
}

/** @param out the folder that `src/app/protocols.ts` looks for beside the code; in a checkout `dist/console` */
export function buildConsole(out = join(root, "dist/console")): void {
  const vite = join(root, "node_modules/vite/bin/vite.js");
  const args = ["build", join(root, "src/console"), "--outDir", out, "--emptyOutDir", "--logLevel", "warn"];
  // Otherwise it may be the React for development, which is twice as large.
  const env = { ...process.env, NODE_ENV: "production" };
  execFileSync(process.execPath, [vite, ...args], { stdio: "inherit", env });
}

/** What both packages have besides code; the README is the package's own. */
function copyPages(dist: string, readme: string, others: readonly string[]): void {
  copy("proto", dist, (path) => !path.endsWith(".binpb"));
  for (const name of ["LICENSE", "CHANGELOG.md", ...others]) copy(name, dist);
  cpSync(join(root, "deploy/package", readme, "README.md"), join(dist, "README.md"));
}

function copy(name: string, dist: string, filter = (_path: string) => true): void {
  cpSync(join(root, name), join(dist, name), {
    recursive: true,
    filter: (source) => filter(relative(root, source)),
  });
}

function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" });
}

function readManifest() {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
}

function writeJson(path: string, value: object): void {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** `tsc` rewrites imports in code only. */
function pointToJavaScript(path: string): void {
  const text = readFileSync(path, "utf8");
  const rewritten = text.replace(moduleName, '$1.js"');
  const left = /"\.{1,2}\/[^"\n]*(?<!\.d)\.ts"/.exec(rewritten);
  if (left !== null) throw new Error(`${path} still names ${left[0]}`);
  if (rewritten !== text) writeFileSync(path, rewritten);
}

if (import.meta.main) {
  build();
  buildClient();
}
