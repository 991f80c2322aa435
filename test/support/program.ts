import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { rolldown } from "rolldown";

const root = fileURLToPath(new URL("../..", import.meta.url));
const directory = join(root, "node_modules/.cache/program");

/**
 * The program, bundled: it starts in half the time that its 800 modules take, and tests start it some hundred times.
 * Commands, and the tests of how the program starts, run the source.
 */
export const bundledProgram = join(directory, "main.js");

/** Packages that the program loads on demand, and does without. */
const external = [/^@aws-sdk\//, /^@opentelemetry\/(?!api$)/, "http-parser-js", "pino-pretty"];

/** Writes `bundledProgram`. A test run beside this one finds every script whole. */
export async function bundleProgram(): Promise<void> {
  await using bundle = await rolldown({
    input: join(root, "src/main.ts"),
    platform: "node",
    external,
    plugins: [{ name: "files-beside-the-source", transform: withUrlOfSource }],
  });
  const { output } = await bundle.generate({ format: "esm", chunkFileNames: "[name].js" });
  mkdirSync(directory, { recursive: true });
  for (const file of output) {
    if (file.type !== "chunk") throw new Error(`${file.fileName} is no script`);
    const written = join(directory, `${file.fileName}.${process.pid}`);
    writeFileSync(written, file.code);
    renameSync(written, join(directory, file.fileName));
  }
}

function withUrlOfSource(code: string, id: string): string | undefined {
  if (!code.includes("import.meta.url") || id.includes("node_modules")) return undefined;
  return code.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(id).href));
}
