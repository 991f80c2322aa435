import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { apiReport, apiReportPath } from "../../deploy/package/api-report.ts";
import { build } from "../../deploy/package/build.ts";
import { nodeProblem } from "../../src/client/node-version.ts";
import { searchPath } from "../support/executables.ts";
import { startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
const env = { ...process.env, PATH: `${join(root, "node_modules/.bin")}:${searchPath}` };

let scratch: TempDir;
/** A project that has installed the package. */
let project: string;
let installed: string;
let dist: string;
beforeAll(async () => {
  scratch = await tempDir();
  project = join(scratch.path, "project");
  installed = join(project, "node_modules/downlease");
  dist = join(scratch.path, "dist");
  build(dist);
  await run("npm", ["pack", dist, "--pack-destination", scratch.path], { cwd: scratch.path, env });

  await mkdir(installed, { recursive: true });
  const [tarball] = (await readdir(scratch.path)).filter((name) => name.endsWith(".tgz"));
  await run("tar", ["-xzf", join(scratch.path, tarball!), "-C", installed, "--strip-components", "1"]);
  const modules = await readdir(join(root, "node_modules"));
  await Promise.all(
    modules
      .filter((name) => !name.startsWith("."))
      .map((name) => symlink(join(root, "node_modules", name), join(project, "node_modules", name))),
  );
  await writeFile(join(project, "package.json"), '{"type": "module"}');
}, 240_000);
afterAll(() => scratch.remove());

test("the package has no TypeScript but declarations, and everything that is read beside the code", async () => {
  const packed = (await readdir(installed, { recursive: true })).sort();
  expect(packed.filter((name) => /(?<!\.d)\.ts$/.test(name))).toEqual([]);
  const sources = await readdir(join(root, "src"), { recursive: true });
  const others: string[] = [];
  for (const name of sources) {
    if ((await stat(join(root, "src", name))).isFile() && !name.endsWith(".ts")) others.push(name);
  }
  expect(others.length).toBeGreaterThan(10);
  expect(others.filter((name) => !packed.includes(join("src", name)))).toEqual([]);
  const protos = (await readdir(join(root, "proto"), { recursive: true })).filter((name) =>
    /proto$/.test(name),
  );
  expect(protos.length).toBeGreaterThan(10);
  expect(protos.filter((name) => !packed.includes(join("proto", name)))).toEqual([]);
});

test("its interface is as docs/client-api.txt reports it; npm run api writes it", async () => {
  expect(apiReport(dist)).toBe(await readFile(apiReportPath, "utf8"));
});

test("its program serves from node_modules, and its client downloads what it serves", {
  timeout: 120_000,
}, async () => {
  const main = join(installed, "src/main.js");
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const { bin } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
  expect(join(installed, bin.downlease)).toBe(main);
  const { stdout } = await run(process.execPath, [main, "--version"]);
  expect(stdout.trim()).toBe(version);
  await writeFile(
    join(project, "download.js"),
    `import { connect, downloadItem } from "downlease/client";
     await using server = connect({ url: process.argv[2] });
     const { files } = await downloadItem(server, { itemId: "photon", directory: process.argv[3] });
     console.log(files.map(({ name }) => name).join());`,
  );
  for (const [kind, store] of [
    ["sqlite", ["--sqlite-path", join(project, "sessions.db")]],
    ["redis", ["--redis-url", sharedRedisUrl()]],
  ] as const) {
    await using service = await startService(
      ["--content-root", join(root, "examples/library"), ...store],
      {},
      main,
    );
    const target = join(project, `from-${kind}`);
    const downloaded = await run(process.execPath, ["download.js", service.url, target], { cwd: project });
    expect(downloaded).toEqual({ stdout: "photon-disk1.vmdk,photon.ovf\n", stderr: "" });
    const example = join(root, "examples/library/demo/photon/photon-disk1.vmdk");
    expect(await readFile(join(target, "photon-disk1.vmdk"))).toEqual(await readFile(example));
    const shown = await run(process.execPath, [main, "items", "list", "--server", service.url]);
    expect(shown.stdout).toContain("photon");
  }
});

/** A release of Node.js that the system has beside that of the tests. */
const otherNode = "/usr/bin/node";

test.runIf(await isOldNode(otherNode))(
  "an old release of Node.js gets one line, and no stack of its own",
  async () => {
    const line = /^downlease needs Node\.js 24\.15 or newer, this is [\d.]+$/m;
    const program = await run(otherNode, [join(installed, "src/main.js"), "items"]).catch(
      (error: { stderr: string }) => error,
    );
    expect(program.stderr.trimEnd()).toMatch(line);
    expect(program.stderr.trimEnd().split("\n")).toHaveLength(1);
    await writeFile(
      join(project, "old.js"),
      'await import("downlease/client").catch(({ message }) => console.log(message));',
    );
    expect((await run(otherNode, ["old.js"], { cwd: project })).stdout).toMatch(line);
  },
);

async function isOldNode(path: string): Promise<boolean> {
  const { stdout } = await run(path, ["--version"]).catch(() => ({ stdout: "" }));
  return stdout !== "" && nodeProblem(stdout.trim().slice(1)) !== undefined;
}

test("its types compile in a project that uses it, as docs/sdk.md shows", { timeout: 120_000 }, async () => {
  const page = await readFile(join(root, "docs/sdk.md"), "utf8");
  const examples = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text!);
  expect(examples.length).toBeGreaterThanOrEqual(2);
  const wrong = `import { connect, downloadItem } from "downlease/client";
    // @ts-expect-error: the item is missing
    await downloadItem(connect({ url: "" }), { directory: "." });`;
  const names = [...examples, wrong].map((_, index) => `example-${index}.ts`);
  await Promise.all(names.map((name, index) => writeFile(join(project, name), [...examples, wrong][index]!)));
  const options = ["--module", "nodenext", "--target", "es2024", "--lib", "es2024,esnext.disposable"];
  const checked = await run(
    join(root, "node_modules/.bin/tsc"),
    ["--noEmit", "--strict", "--skipLibCheck", "--types", "node", ...options, ...names],
    { cwd: project, env },
  ).catch((error: { stdout: string }) => error);
  expect(checked.stdout).toBe("");
});
