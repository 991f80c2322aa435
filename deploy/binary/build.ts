import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { inject } from "postject";
import { type Plugin, rolldown } from "rolldown";
import { assetRoot } from "./files.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Marks the place in the program of Node.js that says whether it is such an executable (nodejs.org/api/single-executable-applications.html). */
const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";
const hashThread = "src/preparation/hash-thread.ts";

/** Files that are read beside the code, by their paths in the checkout. */
const assets = ["package.json", "gen/openapi.json", "src/**/*.{lua,sql,bash,ps1}"];

/**
 * Makes one executable of the program and the Node.js that runs this script, for the system that it runs on.
 *
 * @returns its path
 */
export async function buildBinary(directory = join(root, "dist/binary")): Promise<string> {
  mkdirSync(directory, { recursive: true });
  const script = join(directory, "downlease.cjs");
  const thread = await bundle(join(root, hashThread), []);
  writeFileSync(script, await bundle(join(root, "deploy/binary/main.ts"), [inExecutable(thread)]));
  const blob = join(directory, "downlease.blob");
  const configuration = join(directory, "sea.json");
  writeFileSync(configuration, JSON.stringify(await seaConfiguration(script, blob)));
  execFileSync(process.execPath, ["--experimental-sea-config", configuration], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const binary = join(directory, process.platform === "win32" ? "downlease.exe" : "downlease");
  rmSync(binary, { force: true });
  copyFileSync(process.execPath, binary);
  chmodSync(binary, 0o755);
  await inject(binary, "NODE_SEA_BLOB", readFileSync(blob), {
    sentinelFuse: fuse,
    ...(process.platform === "darwin" && { machoSegmentName: "NODE_SEA" }),
  });
  for (const path of [script, blob, configuration]) rmSync(path);
  return binary;
}

async function seaConfiguration(main: string, output: string): Promise<object> {
  const paths = globSync([...assets], { cwd: root });
  return {
    main,
    output,
    disableExperimentalSEAWarning: true,
    assets: Object.fromEntries(paths.map((path) => [path, join(root, path)])),
  };
}

/** One CommonJS script: Node.js 24 runs no other kind in an executable. */
async function bundle(input: string, plugins: readonly Plugin[]): Promise<string> {
  await using bundled = await rolldown({
    input,
    platform: "node",
    plugins: [...plugins],
    onLog(level, log) {
      if (level === "warn") throw new Error(log.message);
    },
  });
  const { output } = await bundled.generate({ format: "cjs", codeSplitting: false, minify: true });
  if (output.length > 1) throw new Error(`${input} is more than one script`);
  return output[0].code;
}

/** The files beside the code are assets, and the script of the hashing thread is in the code. */
function inExecutable(thread: string): Plugin {
  const threadUrl = `data:text/javascript,${encodeURIComponent(
    `import { createRequire } from "node:module"; const require = createRequire("file:///"); ${thread}`,
  )}`;
  return {
    name: "in-executable",
    transform(code, id) {
      if (!code.includes("import.meta.url") || id.includes("node_modules")) return undefined;
      const url = new URL(relative(root, id), assetRoot).href;
      return code
        .replace('new URL("./hash-thread.ts", import.meta.url)', `new URL(${JSON.stringify(threadUrl)})`)
        .replaceAll("import.meta.url", JSON.stringify(url));
    },
  };
}

if (import.meta.main) {
  const binary = await buildBinary();
  const size = Math.round(statSync(binary).size / 2 ** 20);
  process.stdout.write(
    `${relative(process.cwd(), binary)}: ${size} MiB, for ${process.platform} ${process.arch}\n`,
  );
}
