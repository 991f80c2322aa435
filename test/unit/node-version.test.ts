import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import packageFacts from "../../package.json" with { type: "json" };
import { nodeProblem } from "../../src/client/node-version.ts";
import { startProcess } from "../support/process.ts";

const root = resolve(import.meta.dirname, "../..");
const source = (path: string) => readFileSync(resolve(root, path), "utf8");
const staticImports = (path: string) =>
  [...source(path).matchAll(/^(?:import|export) .*?"(.+?)";$/gms)].map(([, target]) => target);

test.each(["18.20.8", "20.20.2", "22.23.0", "23.11.1", "24.0.0", "24.14.9"])(
  "Node.js %s is too old",
  (version) => {
    expect(nodeProblem(version)).toBe(`downlease needs Node.js 24.15 or newer, this is ${version}`);
  },
);

test.each(["24.15.0", "24.21.0", "25.0.0", "100.1.0", process.versions.node])(
  "Node.js %s is not",
  (version) => {
    expect(nodeProblem(version)).toBeUndefined();
  },
);

test("the package requires the same", () => {
  expect(packageFacts.engines.node).toBe(">=24.15");
});

test("the program and the library look at the version before they load anything else", () => {
  expect(staticImports("src/main.ts")).toEqual(["./client/node-version.ts"]);
  expect(staticImports("src/client/index.ts")[0]).toBe("./require-node.ts");
  expect(staticImports("src/client/require-node.ts")).toEqual(["./node-version.ts"]);
  expect(staticImports("src/client/node-version.ts")).toEqual([]);
});

test("the program says so in one line", async () => {
  // The version that it reads is that of an old release.
  const old = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'22.1.0'})";
  const child = await startProcess(process.execPath, [
    "--import",
    old,
    resolve(root, "src/main.ts"),
    "items",
  ]);
  expect(await child.exited).toEqual({ code: 1, signal: null });
  expect(child.stderr).toBe("downlease needs Node.js 24.15 or newer, this is 22.1.0\n");
});
