import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { isExecutable, missingPackages, type Requirement, searchPath } from "./executables.ts";

/** Debian's Python, whatever other one is on the PATH: only it finds Debian's packages. */
export const debianPython = "/usr/bin/python3";

/** Where Debian's Go packages are, as sources. */
const goSources = "/usr/share/gocode";

const ofPython = (debianPackage: string, module: string): Requirement => ({
  debianPackage,
  isMet: () => spawnSync(debianPython, ["-c", `import ${module}`]).status === 0,
});

/** What it takes to run each client; the keys are the headings of docs/clients.md. */
const requirements: Readonly<Record<string, readonly Requirement[]>> = {
  curl: [{ debianPackage: "curl", isMet: () => isExecutable("curl") }],
  grpcio: [
    ofPython("python3-grpcio", "grpc"),
    ofPython("python3-protobuf", "google.protobuf.descriptor_pool"),
  ],
  govmomi: [
    { debianPackage: "golang-go", isMet: () => isExecutable("go") },
    {
      debianPackage: "golang-github-vmware-govmomi-dev",
      isMet: () => existsSync(`${goSources}/src/github.com/vmware/govmomi`),
    },
  ],
  "VMware's SDKs": [{ debianPackage: "python3", isMet: () => existsSync(debianPython) }],
};

export const clientPackages: readonly Requirement[] = Object.values(requirements).flat();

export const clients: readonly string[] = Object.keys(requirements);

/** Why a client can't be run here; undefined when it can. */
export function reasonAgainst(client: string): string | undefined {
  const missing = missingPackages(requirements[client] ?? []);
  return missing.length === 0 ? undefined : `without ${missing.join(" and ")}; see npm run test:clients`;
}

/** The environment in which clients are run. @param home directory for what they keep between calls */
export function clientEnvironment(home: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: searchPath,
    GO111MODULE: "off",
    GOPATH: goSources,
    GOVMOMI_HOME: home,
    PYTHONDONTWRITEBYTECODE: "1",
  };
}
