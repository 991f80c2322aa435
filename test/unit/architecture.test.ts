import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** Layer → layers it may import, besides itself and `gen`. A new entry is a design decision. */
const walls: Record<string, readonly string[]> = {
  domain: [],
  operations: ["domain"],
  auth: ["domain", "operations"],
  "stores/redis": ["domain"],
  "stores/sqlite": ["domain"],
  content: ["domain"],
  preparation: ["domain"],
  telemetry: ["domain", "operations", "preparation"],
  rpc: ["domain", "operations", "telemetry"],
  vapi: ["domain", "operations"],
  transfer: ["domain", "operations"],
  server: ["domain", "operations", "telemetry"],
  config: [],
  cluster: ["telemetry"],
  // The library of clients is a package of its own in all but name.
  client: [],
  "app.ts": [
    "auth",
    "cluster",
    "config",
    "content",
    "domain",
    "operations",
    "preparation",
    "rpc",
    "server",
    "stores/redis",
    "stores/sqlite",
    "telemetry",
    "transfer",
    "vapi",
  ],
  // The commands that call a service: the client library in a terminal. Of `auth` it has how a password is asked for.
  cli: ["auth", "client", "config"],
  "serve.ts": ["app.ts", "config"],
  "users.ts": ["auth"],
  "main.ts": ["cli", "serve.ts", "users.ts"],
};

/** Layers that know no wire: the generated messages are not theirs to import. */
const withoutMessages = [
  "domain",
  "stores/redis",
  "stores/sqlite",
  "content",
  "preparation",
  "config",
  "auth",
  "cluster",
  "transfer",
];

function layerOf(file: string): string {
  const [first = "", second = ""] = relative(join(root, "src"), file).split("/");
  return first === "stores" ? `${first}/${second}` : first;
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
    "auth/hidden-input.ts",
    "config/client-settings.ts",
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
