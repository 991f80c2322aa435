import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname } from "node:path";
import { ghz, grpcurl } from "./client-tools.ts";
import { isExecutable, missingPackages, type Requirement, searchPath } from "./executables.ts";
import { goSources, govc } from "./govc.ts";
import { type PeerTool, reasonAgainstTools } from "./peer-tools.ts";

/** Debian's Python, even if another one comes first on the PATH: only it finds Debian's packages. */
export const debianPython = "/usr/bin/python3";

const ofPython = (debianPackage: string, module: string): Requirement => ({
  debianPackage,
  isMet: () => spawnSync(debianPython, ["-c", `import ${module}`]).status === 0,
});

const ofGo = (debianPackage: string, path: string): Requirement => ({
  debianPackage,
  isMet: () => existsSync(`${goSources}/src/${path}`),
});

const onPath = (debianPackage: string, command: string): Requirement => ({
  debianPackage,
  isMet: () => isExecutable(command),
});

const go = onPath("golang-go", "go");

/** What comes from other registries, by client. */
const tools: Readonly<Record<string, readonly PeerTool[]>> = { "grpcurl and ghz": [grpcurl, ghz] };

/** What each client needs from Debian; the keys are the headings of docs/clients.md with commands. */
const requirements: Readonly<Record<string, readonly Requirement[]>> = {
  curl: [onPath("curl", "curl")],
  grpcio: [
    ofPython("python3-grpcio", "grpc"),
    ofPython("python3-protobuf", "google.protobuf.descriptor_pool"),
  ],
  govc: [],
  govmomi: [go, ofGo("golang-github-vmware-govmomi-dev", "github.com/vmware/govmomi")],
  "grpcurl and ghz": [],
  "VMware's SDKs": [{ debianPackage: "python3", isMet: () => existsSync(debianPython) }],
};

/** What is needed to build `govc`. */
const forGovc: readonly Requirement[] = [
  go,
  onPath("dpkg-dev", "dpkg-source"),
  ofGo("golang-github-google-uuid-dev", "github.com/google/uuid"),
  ofGo("golang-github-kr-pretty-dev", "github.com/kr/pretty"),
];

export const clientPackages: readonly Requirement[] = [
  ...Object.values(requirements).flat(),
  ...(existsSync(govc) ? [] : forGovc),
  // With promtool: for the alerts and the board.
  onPath("prometheus", "prometheus"),
  // Checks units of systemd.
  onPath("systemd", "systemd-analyze"),
];

export const clients: readonly string[] = Object.keys(requirements);

/** Headings of docs/clients.md without commands. */
export const clientsWithoutCommands: readonly string[] = ["Ansible", "PowerCLI"];

/** Why a client is not run here; undefined when it is. Besides curl, clients take a minute: they have a run of their own. */
export function reasonAgainst(client: string): string | undefined {
  if (client !== "curl" && process.env.TEST_PEERS !== "all") return "see npm run test:clients";
  const missing = [...missingPackages(requirements[client] ?? [])];
  if (client === "govc" && !existsSync(govc)) missing.push("govc");
  if (missing.length === 0) return reasonAgainstTools(tools[client] ?? []);
  return `without ${missing.join(" and ")}; see npm run test:clients`;
}

/** The environment in which clients are run. @param home directory for files that they keep between calls */
export function clientEnvironment(home: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: [govc, grpcurl.path, ghz.path].map(dirname).concat(searchPath).join(delimiter),
    GO111MODULE: "off",
    GOPATH: goSources,
    GOVMOMI_HOME: home,
    PYTHONDONTWRITEBYTECODE: "1",
  };
}
