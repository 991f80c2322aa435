import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cache, type PeerTool, program, run } from "./peer-tools.ts";

const govmomiVersion = "v0.55.1";

/** The packages of `govc` that tests use; each registers its commands. */
const govcCommands = ["about", "library", "library/session", "session", "version"];

/** Today's `govc`. Its module has all commands, and a `main` that is not in the module. */
export const currentGovc: PeerTool = {
  name: `govc ${govmomiVersion}`,
  commands: ["go"],
  path: join(cache, "go", `govc-${govmomiVersion}`, "govc"),
  make(path) {
    const directory = mkdtempSync(join(tmpdir(), "downlease-go-"));
    const cli = "github.com/vmware/govmomi/cli";
    const imports = [cli, ...govcCommands.map((name) => `${cli}/${name}`)];
    const lines = imports.map((name) => `import ${name === cli ? "" : "_ "}"${name}"`);
    const main = `package main\n\nimport "os"\n${lines.join("\n")}\n\nfunc main() { os.Exit(cli.Run(os.Args[1:])) }\n`;
    try {
      writeFileSync(join(directory, "go.mod"), "module govc\n\ngo 1.25\n");
      writeFileSync(join(directory, "main.go"), main);
      const env = { GOFLAGS: "-mod=mod" };
      run("go", ["get", ...imports.map((name) => `${name}@${govmomiVersion}`)], env, directory);
      run("go", ["build", "-o", `${path}.new`, "."], env, directory);
      renameSync(`${path}.new`, path);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
};

export const grpcurl = program("grpcurl", "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4");
export const ghz = program("ghz", "github.com/bojand/ghz/cmd/ghz@v0.120.0");

const sdkVersion = "9.1.1.0";
const sdkPackages = ["vmware-vcenter", "vmware-vapi-runtime", "vmware-vapi-common-client"].map(
  (name) => `${name}==${sdkVersion}`,
);

/** A Python of its own with packages of PyPI. */
function pythonWith(
  name: string,
  version: string,
  packages: readonly string[],
  finish = (_python: string) => {},
): PeerTool & { readonly python: string } {
  const directory = join(cache, `${name}-${version}`);
  const python = join(directory, "bin/python");
  return {
    name,
    commands: ["python3"],
    python,
    path: join(directory, "ready"),
    make(path) {
      rmSync(directory, { recursive: true, force: true });
      run("python3", ["-m", "venv", directory]);
      run(python, ["-m", "pip", "install", "--quiet", ...packages]);
      finish(python);
      writeFileSync(path, "");
    },
  };
}

/** VMware's own SDK. */
export const vmwareSdk = pythonWith("vmware-vcenter", sdkVersion, sdkPackages);

const ansibleVersion = "12.0.0";

/** Ansible, with VMware's collections out of the package that has all collections, and what their modules import. */
export const ansible = pythonWith(
  "ansible",
  ansibleVersion,
  ["ansible-core==2.19.3", "aiohttp==3.14.5", "pyvmomi==9.1.1.0", ...sdkPackages],
  (python) => {
    const directory = mkdtempSync(join(tmpdir(), "downlease-ansible-"));
    try {
      const download = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory];
      run(python, [...download, `ansible==${ansibleVersion}`]);
      run(python, ["-c", unpackCollections, directory, ansibleCollections]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);

/** The directory of its collections. */
export const ansibleCollections = join(dirname(ansible.path), "collections");

const unpackCollections = `
import pathlib, sys, zipfile
[wheel] = pathlib.Path(sys.argv[1]).glob("*.whl")
wanted = tuple("ansible_collections/%s/" % name for name in ("cloud/common", "community/vmware", "vmware/vmware", "vmware/vmware_rest"))
with zipfile.ZipFile(wheel) as packed:
    packed.extractall(sys.argv[2], [name for name in packed.namelist() if name.startswith(wanted)])
`;

const schemathesisVersion = "4.32.5";

/** Makes requests from an OpenAPI document, and compares the answers with it. */
export const schemathesis = pythonWith("schemathesis", schemathesisVersion, [
  `schemathesis==${schemathesisVersion}`,
]);

const attwVersion = "0.18.5";

/** Checks the declarations of packages. It is no dev dependency: it brings a TypeScript of its own. */
export const attw: PeerTool = {
  name: "attw",
  commands: ["npm"],
  path: join(cache, `attw-${attwVersion}`, "node_modules/.bin/attw"),
  make: () => {
    const directory = join(cache, `attw-${attwVersion}`);
    run("npm", ["install", "--prefix", directory, "--no-audit", `@arethetypeswrong/cli@${attwVersion}`]);
  },
};

/** Renders charts. */
export const helm = program("helm", "helm.sh/helm/v4/cmd/helm@v4.3.2");

/** The schemas of Kubernetes, and a program that compares with them. */
export const kubernetesSchemas = pythonWith("kubernetes-validate", "1.37.0", ["kubernetes-validate==1.37.0"]);

const composeVersion = "v2.40.3";

/** Reads compose files. Its module replaces others, so that it is built where it is, not installed. */
export const compose: PeerTool = {
  name: "docker-compose",
  commands: ["go"],
  path: join(cache, "go", `docker-compose-${composeVersion}`, "docker-compose"),
  make(path) {
    const module = `github.com/docker/compose/v2@${composeVersion}`;
    const { Dir } = JSON.parse(run("go", ["mod", "download", "-json", module]).toString());
    run("go", ["build", "-o", `${path}.new`, "./cmd"], {}, Dir);
    renameSync(`${path}.new`, path);
  },
};

/** Object storage. Its module has no releases that the proxy of Go's modules could name. */
export const minio = program("minio", "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c");

export const clientTools: readonly PeerTool[] = [
  ...[currentGovc, grpcurl, ghz, vmwareSdk, ansible, schemathesis, attw],
  ...[helm, kubernetesSchemas, compose, minio],
];

/** Clients that are in none of the registries that the tests use. */
export const clientsNotRun: readonly string[] = [
  "VMware's SDK for Ruby is not run: its gem is on RubyGems only",
  "PowerCLI is not run: its modules are in the PowerShell Gallery only",
];
