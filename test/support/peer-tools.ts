import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { isExecutable } from "./executables.ts";

const grpcVersion = "v1.85.0";
const conformanceModule = "connectrpc.com/conformance@v1.0.7";

/** Something from another registry than npm's, which `npm run test:clients` makes; kept from one run to the next. */
export interface PeerTool {
  readonly name: string;
  /** The commands that it is made with. */
  readonly commands: readonly string[];
  /** The file that is made. */
  readonly path: string;
  /** @throws Error that says what failed */
  readonly make: (path: string) => void;
}

/** Outside of `node_modules`, because `npm ci` empties that. */
export const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "downlease-tests");

/** A program of a Go module, in a folder of its own. */
export function program(name: string, source: string): PeerTool {
  const version = source.slice(source.indexOf("@") + 1);
  return {
    name,
    commands: ["go"],
    path: join(cache, "go", `${name}-${version}`, name),
    make: (path) => install(source, path),
  };
}

/** Runs Connect's conformance suite. */
export const connectConformance = program(
  "connectconformance",
  conformanceModule.replace("@", "/cmd/connectconformance@"),
);

/** The types of that suite, as a descriptor set. */
export const conformanceTypes: PeerTool = {
  name: "the conformance suite's types",
  commands: ["go"],
  path: join(cache, `conformance-${conformanceModule.split("@")[1]}.binpb`),
  make(path) {
    const { Dir } = JSON.parse(run("go", ["mod", "download", "-json", conformanceModule]).toString());
    const buf = resolve(import.meta.dirname, "../../node_modules/.bin/buf");
    run(buf, ["build", join(Dir, "proto"), "-o", path]);
  },
};

/** The client of gRPC's interoperability tests, by grpc-go. */
export const interopClient = program(
  "grpc-interop-client",
  `google.golang.org/grpc/interop/client@${grpcVersion}`,
);

/** The types of those tests, which grpc-go has as code only. */
export const interopTypes: PeerTool = {
  name: "the interoperability tests' types",
  commands: ["go"],
  path: join(cache, `grpc-interop-${grpcVersion}.binpb`),
  make: dumpInteropTypes,
};

/** Tests HTTP/2. */
export const h2spec = program("h2spec", "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible");

/** The plug-ins of protoc for Go. */
export const protocGenGo = program("protoc-gen-go", "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12");
export const protocGenGoGrpc = program(
  "protoc-gen-go-grpc",
  "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
);

const pythonDirectory = join(cache, "grpcio-tools-1.85.1");

/** protoc and its plug-ins for Python, from PyPI. */
export const pythonProtoc: PeerTool = {
  name: "grpcio-tools",
  commands: ["python3"],
  path: join(pythonDirectory, "ready"),
  make(path) {
    rmSync(pythonDirectory, { recursive: true, force: true });
    run("python3", ["-m", "venv", pythonDirectory]);
    const packages = ["grpcio-tools==1.85.1", "googleapis-common-protos"];
    run(pythonOfProtoc, ["-m", "pip", "install", "--quiet", ...packages]);
    writeFileSync(path, "");
  },
};

/** A Python that has it. */
export const pythonOfProtoc = join(pythonDirectory, "bin/python");

const javaVersion = "4.35.1";
const javaDirectory = join(cache, `protobuf-java-${javaVersion}`);
const platform = `linux-${process.arch === "arm64" ? "aarch_64" : "x86_64"}`;

/** protoc for Java and what its code needs, from Maven's repository. */
export const javaProtoc: PeerTool = {
  name: "protobuf-java",
  commands: ["mvn", "javac"],
  path: join(javaDirectory, "ready"),
  make(path) {
    const artifacts = [`protobuf-java:${javaVersion}`, `protoc:${javaVersion}:exe:${platform}`];
    for (const artifact of artifacts) {
      const copied = `-Dartifact=com.google.protobuf:${artifact}`;
      run("mvn", ["-q", "-B", "dependency:copy", copied, `-DoutputDirectory=${javaDirectory}`]);
    }
    run("chmod", ["+x", protocOfJava]);
    writeFileSync(path, "");
  },
};

export const protocOfJava = join(javaDirectory, `protoc-${javaVersion}-${platform}.exe`);
export const javaRuntime = join(javaDirectory, `protobuf-java-${javaVersion}.jar`);

/** What the conformance suite is run with. */
export const conformanceTools = [connectConformance, conformanceTypes] as const;

export const peerTools: readonly PeerTool[] = [
  ...conformanceTools,
  interopClient,
  interopTypes,
  h2spec,
  protocGenGo,
  protocGenGoGrpc,
  pythonProtoc,
  javaProtoc,
];

/**
 * Makes those that are not there yet.
 *
 * @returns a line for each that is unavailable
 */
export function makePeerTools(tools: readonly PeerTool[]): readonly string[] {
  mkdirSync(cache, { recursive: true });
  return tools.flatMap(({ name, commands, path, make }) => {
    if (existsSync(path)) return [];
    const missing = commands.filter((command) => !isExecutable(command));
    if (missing.length > 0) return [`${name} is unavailable: it needs ${missing.join(" and ")}`];
    process.stdout.write(`getting ${name} with ${commands[0]}, for the tests\n`);
    try {
      mkdirSync(dirname(path), { recursive: true });
      make(path);
      return [];
    } catch (error) {
      return [`${name} is unavailable: ${error instanceof Error ? error.message : error}`];
    }
  });
}

/** Why some of them cannot be used; undefined when they can. */
export function reasonAgainstTools(tools: readonly PeerTool[]): string | undefined {
  const missing = tools.filter(({ path }) => !existsSync(path)).map(({ name }) => name);
  return missing.length === 0
    ? undefined
    : `without ${new Intl.ListFormat("en").format(missing)}; see npm run test:clients`;
}

function install(source: string, path: string): void {
  const directory = mkdtempSync(join(tmpdir(), "downlease-go-"));
  try {
    run("go", ["install", source], { GOBIN: directory });
    const [, name] = /\/([^/@]+)@/.exec(source)!;
    // Within the cache, so that the last step is atomic.
    run("cp", [join(directory, name!), `${path}.new`]);
    renameSync(`${path}.new`, path);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function dumpInteropTypes(path: string): void {
  const directory = mkdtempSync(join(tmpdir(), "downlease-go-"));
  try {
    writeFileSync(join(directory, "go.mod"), "module dump\n\ngo 1.24\n");
    writeFileSync(join(directory, "main.go"), dumpProgram);
    const env = { GOFLAGS: "-mod=mod" };
    run("go", ["get", `google.golang.org/grpc@${grpcVersion}`], env, directory);
    writeFileSync(path, run("go", ["run", "."], env, directory));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Prints the descriptors of grpc-go's test service. */
const dumpProgram = `package main

import (
	"os"

	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	var set descriptorpb.FileDescriptorSet
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(grpc_testing.File_grpc_testing_test_proto)
	bytes, err := proto.Marshal(&set)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(bytes)
}
`;

/** @throws Error with the end of what it wrote */
export function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd?: string,
): Buffer {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    cwd,
    env: { ...process.env, GO111MODULE: "on", ...env },
    maxBuffer: 2 ** 26,
    // The largest ones take minutes on two cores.
    timeout: 900_000,
  });
  if (status === 0) return stdout;
  throw new Error(`${command} ${args.at(-1)} failed: ${error?.message ?? String(stderr).trim()}`);
}
