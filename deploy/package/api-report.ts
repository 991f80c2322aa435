import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build, root } from "./build.ts";

/** The committed report: a change of the SDK's interface is a change of this file, to be seen in review. */
export const apiReportPath = join(root, "docs/client-api.txt");

/** A declaration at the top of a module, as `tsc` writes it once comments are gone. */
const declaration =
  /^export (?:declare )?(?:abstract )?(?:class|const|enum|function|interface|type) (\w+)[\s\S]*?(?=^export |(?![\s\S]))/gm;

/** The modules that the package exports, and what they are imported as. */
const entries = { index: "@downlease/client", browser: "@downlease/client/browser" };

/**
 * All that the SDK exports, by name, without comments. It is made of the package's declarations; the usual tool for
 * this, API Extractor, brings a TypeScript of its own that is older than ours.
 */
export function apiReport(dist: string): string {
  const folder = join(dist, "src/client");
  const read = (name: string) =>
    readFileSync(join(folder, name), "utf8").replace(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, "");
  const reported = new Map<string, string>();
  const lines: string[] = [];
  for (const [entry, name] of Object.entries(entries)) {
    lines.push(`// ${name}\n`);
    for (const [key, text] of exportsOf(read(`${entry}.d.ts`), read)) {
      if (reported.get(key) !== text) lines.push(text);
      reported.set(key, text);
    }
  }
  return lines.join("\n");
}

/** What a module exports: statements about other packages, and declarations, by their names. */
function* exportsOf(text: string, read: (name: string) => string): Generator<[string, string]> {
  for (const [statement, names = "", module = ""] of text.matchAll(
    /export (?:type )?\{([^}]*)\} from "([^"]+)";/g,
  )) {
    if (!module.startsWith("./")) {
      yield [statement, `${statement}\n`];
      continue;
    }
    const found = declarationsOf(read(module.replace(/\.js$/, ".d.ts")));
    for (const each of names.split(",")) {
      const name = each.trim().replace(/^type /, "");
      if (name === "") continue;
      const declared = found.get(name);
      if (declared === undefined) throw new Error(`${module} does not declare ${name}`);
      yield [name, declared];
    }
  }
  yield* declarationsOf(text);
}

function declarationsOf(text: string): Map<string, string> {
  return new Map([...text.matchAll(declaration)].map(([found, name]) => [name!, `${found.trimEnd()}\n`]));
}

if (import.meta.main) {
  const dist = join(root, "node_modules/.cache/api");
  build(dist);
  writeFileSync(apiReportPath, apiReport(dist));
}
