import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** Layer → layers it may import, besides itself and `gen`. A new entry is a design decision. */
const walls: Record<string, readonly string[]> = {
  domain: [],
  calls: ["domain"],
  operations: ["domain", "calls"],
  auth: ["domain", "calls"],
  "stores/redis": ["domain"],
  "stores/sqlite": ["domain"],
  stores: ["domain", "stores/redis", "stores/sqlite"],
  content: ["domain"],
  preparation: ["domain"],
  telemetry: ["domain", "calls", "preparation"],
  "protocols/rpc": ["domain", "calls", "telemetry"],
  "protocols/vapi": ["domain", "calls"],
  downloads: ["domain", "calls"],
  server: ["domain", "calls", "telemetry"],
  config: [],
  cluster: ["telemetry"],
  // The library of clients is a package of its own in all but name.
  client: [],
  app: [
    "auth",
    "calls",
    "cluster",
    "config",
    "content",
    "domain",
    "downloads",
    "operations",
    "preparation",
    "protocols/rpc",
    "protocols/vapi",
    "server",
    "stores",
    "telemetry",
  ],
  // The commands that call a service: the client library in a terminal.
  cli: ["client", "config"],
  "cli/users": ["auth", "cli", "config", "domain"],
  "cli/serve.ts": ["app", "config"],
  "cli/program.ts": ["cli", "cli/serve.ts", "cli/users"],
  "main.ts": ["cli", "cli/program.ts", "config"],
};

/** Layers that know no wire: the generated messages are not theirs to import. */
const withoutMessages = [
  "domain",
  "stores/redis",
  "stores/sqlite",
  "stores",
  "content",
  "preparation",
  "config",
  "auth",
  "cluster",
  "downloads",
];

function layerOf(file: string): string {
  const path = relative(join(root, "src"), file);
  const [first = "", second = ""] = path.split("/");
  const inner = `${first}/${second}`;
  return inner in walls ? inner : first;
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) =>
    resolve(dirname(file), match[1]!),
  );
}

const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => join(root, "src", name));

test("imports point inwards", () => {
  const breaches = files.flatMap((file) => {
    const layer = layerOf(file);
    const allowed = walls[layer];
    if (allowed === undefined) return [`${layer} is not in the table of walls`];
    return importsOf(file)
      .filter((target) => !target.startsWith(join(root, "gen")) || withoutMessages.includes(layer))
      .filter((target) => layerOf(target) !== layer && !allowed.includes(layerOf(target)))
      .map((target) => `${relative(root, file)} imports ${relative(root, target)}`);
  });
  expect(breaches).toEqual([]);
});

test("the commands that call a service load nothing of it", () => {
  const loaded = new Set<string>();
  const load = (file: string) => {
    if (loaded.has(file) || !file.startsWith(join(root, "src"))) return;
    loaded.add(file);
    for (const target of importsOf(file)) load(target);
  };
  for (const file of files.filter((name) => layerOf(name) === "cli")) load(file);
  const others = [...loaded].map((file) => relative(join(root, "src"), file));
  expect(others.filter((file) => !/^(cli|client)\//.test(file)).sort()).toEqual([
    "config/client-settings.ts",
    "config/numbers.ts",
  ]);
});

test("the table of walls has no layer that is gone", () => {
  const layers = new Set(files.map(layerOf));
  expect(Object.keys(walls).filter((layer) => !layers.has(layer))).toEqual([]);
});

test("only the configuration reads the environment", () => {
  const readers = files.filter((file) => readFileSync(file, "utf8").includes("process.env"));
  expect(readers.map((file) => relative(root, file))).toEqual(["src/main.ts"]);
});
