import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, root } from "./build.ts";

/** The committed report: a change of the SDK's interface is a change of this file, to be seen in review. */
export const apiReportPath = join(root, "docs/client-api.txt");

/** A declaration at the top of a module, as `tsc` writes it once comments are gone. */
const declaration =
  /^export (?:declare )?(?:abstract )?(?:class|const|enum|function|interface|type) (\w+)[\s\S]*?(?=^export |(?![\s\S]))/gm;

/**
 * All that `downlease/client` exports, by name, without comments. It is made of the package's declarations; the usual
 * tool for this, API Extractor, brings a TypeScript of its own that is older than ours.
 */
export function apiReport(dist: string): string {
  const folder = join(dist, "src/client");
  const read = (name: string) =>
    readFileSync(join(folder, name), "utf8").replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, "");
  const statements = [...read("index.d.ts").matchAll(/export (?:type )?\{([^}]*)\} from "([^"]+)";/g)];
  const entries: string[] = [];
  for (const [statement, names = "", module = ""] of statements) {
    if (!module.startsWith("./")) {
      entries.push(`${statement}\n`);
      continue;
    }
    const exported = names.split(",").map((name) => name.trim().replace(/^type /, ""));
    const declared = read(module.replace(/\.js$/, ".d.ts")).matchAll(declaration);
    const found = new Map([...declared].map(([text, name]) => [name!, `${text.trimEnd()}\n`]));
    for (const name of exported.filter((each) => each !== "")) {
      const text = found.get(name);
      if (text === undefined) throw new Error(`${module} does not declare ${name}`);
      entries.push(text);
    }
  }
  return entries.join("\n");
}

if (import.meta.main) {
  const dist = join(root, "node_modules/.cache/api");
  build(dist);
  writeFileSync(apiReportPath, apiReport(dist));
}
