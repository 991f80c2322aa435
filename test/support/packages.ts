import { execFile } from "node:child_process";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { build, buildClient } from "../../deploy/package/build.ts";
import { searchPath } from "./executables.ts";

export const root = resolve(import.meta.dirname, "../..");
export const run = promisify(execFile);
export const npmEnvironment = {
  ...process.env,
  PATH: `${join(root, "node_modules/.bin")}:${searchPath}`,
};

/** A project that has installed both packages as they are packed. */
export interface Project {
  readonly path: string;
  /** The folders that were packed. */
  readonly dist: Readonly<Record<"downlease" | "client", string>>;
  /** Where the packages are installed. */
  readonly installed: Readonly<Record<"downlease" | "client", string>>;
}

/**
 * Makes the packages and installs them into a new project.
 *
 * @param without packages of the checkout that the project does not get
 */
export async function installPackages(scratch: string, without: readonly string[] = []): Promise<Project> {
  const path = join(scratch, "project");
  const modules = join(path, "node_modules");
  const dist = { downlease: join(scratch, "dist/downlease"), client: join(scratch, "dist/client") };
  const installed = { downlease: join(modules, "downlease"), client: join(modules, "@downlease/client") };
  build(dist.downlease);
  buildClient(dist.downlease, dist.client);
  const packing = [dist.downlease, dist.client, "--pack-destination", scratch];
  await run("npm", ["pack", ...packing], { cwd: scratch, env: npmEnvironment });
  for (const name of await readdir(scratch)) {
    if (!name.endsWith(".tgz")) continue;
    const target = name.startsWith("downlease-client-") ? installed.client : installed.downlease;
    await mkdir(target, { recursive: true });
    await run("tar", ["-xzf", join(scratch, name), "-C", target, "--strip-components", "1"]);
  }
  for (const name of await packagesOf(join(root, "node_modules"))) {
    if (!without.includes(name)) await link(name, modules);
  }
  await writeFile(join(path, "package.json"), '{"type": "module"}');
  return { path, dist, installed };
}

/** Makes the packages of the checkout available in another folder of modules, each with its own dependencies. */
export async function link(name: string, modules: string): Promise<void> {
  await mkdir(dirname(join(modules, name)), { recursive: true });
  await symlink(join(root, "node_modules", name), join(modules, name));
}

async function packagesOf(modules: string): Promise<string[]> {
  const names = (await readdir(modules)).filter((name) => !name.startsWith("."));
  const scoped = names
    .filter((name) => name.startsWith("@"))
    .map(async (scope) => (await readdir(join(modules, scope))).map((name) => `${scope}/${name}`));
  return [...names.filter((name) => !name.startsWith("@")), ...(await Promise.all(scoped)).flat()];
}

/** The TypeScript in a page of Markdown. */
export function typescriptIn(page: string): string[] {
  return [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, text]) => text!);
}

/** What the compiler has to say about modules in a project. */
export async function compile(project: string, modules: readonly string[], options: object): Promise<string> {
  const names = modules.map((_, index) => `module-${index}.ts`);
  await Promise.all(names.map((name, index) => writeFile(join(project, name), modules[index]!)));
  const compilerOptions = { noEmit: true, strict: true, target: "es2024", ...options };
  await writeFile(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: names }));
  const tsc = join(root, "node_modules/.bin/tsc");
  const checked = await run(tsc, [], { cwd: project, env: npmEnvironment }).catch(
    (error: { stdout: string }) => error,
  );
  return checked.stdout;
}
