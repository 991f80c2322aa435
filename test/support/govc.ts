import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

const sourcePackage = "golang-github-vmware-govmomi";
const importPath = "github.com/vmware/govmomi";

/** `govc` as Debian's source package builds it; Debian has no package of it. Kept from one run to the next. */
export const govc = resolve(import.meta.dirname, "../../node_modules/.cache/govc/govc");

/** Where Debian's Go packages are, as sources. */
export const goSources = "/usr/share/gocode";

/**
 * Builds `govc`, unchanged, in about two minutes. Needs root, as apt does, and golang-go, dpkg-dev and what govc is made
 * of. The machine's apt is left as it is: the list of source repositories is written beside it.
 *
 * @throws Error that says what failed
 */
export function buildGovc(): void {
  if (existsSync(govc)) return;
  process.stdout.write("building govc from Debian's source package of govmomi, for the tests\n");
  const directory = mkdtempSync(join(tmpdir(), "downlease-govc-"));
  try {
    const source = join(directory, "src", importPath);
    mkdirSync(dirname(source), { recursive: true });
    fetchSource(directory, source);
    const binary = join(directory, "govc");
    run("go", ["build", "-o", binary, "."], join(source, "govc"), {
      GO111MODULE: "off",
      GOPATH: `${directory}:${goSources}`,
      GOCACHE: join(directory, "cache"),
    });
    mkdirSync(dirname(govc), { recursive: true });
    cpSync(binary, `${govc}.new`);
    renameSync(`${govc}.new`, govc);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function fetchSource(directory: string, target: string): void {
  const apt = join(directory, "apt");
  for (const name of ["sources", "lists/partial", "cache"]) mkdirSync(join(apt, name), { recursive: true });
  writeSources(join(apt, "sources"));
  const settings = {
    "Dir::Etc::SourceList": "/dev/null",
    "Dir::Etc::SourceParts": join(apt, "sources"),
    "Dir::State::Lists": join(apt, "lists"),
    "Dir::Cache": join(apt, "cache"),
    "APT::Sandbox::User": "root",
  };
  const options = ["-q", ...Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`])];
  // It reports repositories without sources as failures, and goes on.
  spawnSync("apt-get", [...options, "update"], { cwd: apt, stdio: "ignore" });
  run("apt-get", [...options, "source", sourcePackage], apt);
  const unpacked = readdirSync(apt).find((name) => existsSync(join(apt, name, "govc")));
  if (unpacked === undefined) throw new Error(`${sourcePackage} has no govc`);
  renameSync(join(apt, unpacked), target);
}

/** The machine's repositories, as repositories of sources. */
function writeSources(directory: string): void {
  const parts = "/etc/apt/sources.list.d";
  const listed = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [];
  for (const [index, path] of ["/etc/apt/sources.list", ...listed].entries()) {
    if (!existsSync(path)) continue;
    const text = readFileSync(path, "utf8");
    if (path.endsWith(".sources")) {
      writeFileSync(join(directory, `${index}.sources`), text.replace(/^Types:.*$/gm, "Types: deb-src"));
    } else if (path.endsWith(".list")) {
      writeFileSync(join(directory, `${index}.list`), text.replace(/^deb\s/gm, "deb-src "));
    }
  }
}

function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): void {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`${command} ${args.at(-1)} failed: ${error?.message ?? stderr + stdout}`);
}
