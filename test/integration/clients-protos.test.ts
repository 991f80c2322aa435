import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  javaProtoc,
  javaRuntime,
  type PeerTool,
  protocGenGo,
  protocGenGoGrpc,
  protocOfJava,
  pythonOfProtoc,
  pythonProtoc,
  reasonAgainstTools,
} from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const programs = resolve(import.meta.dirname, "../conformance/protos");
const timeout = 300_000;

let service: Service;
let directory: TempDir;
/** The interface as the service serves it, and the files in it that are its own. */
let descriptorSet: string;
let ownFiles: readonly string[];
beforeAll(async () => {
  [service, directory] = await Promise.all([startService([]), tempDir()]);
  descriptorSet = join(directory.path, "downlease.binpb");
  const bytes = await (await fetch(`${service.url}/proto/downlease.binpb`)).bytes();
  await writeFile(descriptorSet, bytes);
  const names = fromBinary(FileDescriptorSetSchema, bytes).file.map(({ name }) => name);
  ownFiles = names.filter((name) => !/^(google|grpc)\//.test(name));
});
afterAll(async () => {
  await service?.stop();
  await directory?.remove();
});

/** Runs a command to its end; gives what it printed. */
async function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
) {
  const process = await startProcess(command, args, options);
  const { code } = await process.exited;
  expect(code, `${command} ${args[0]}: ${process.stderr}`).toBe(0);
  return process.stdout;
}

async function emptyDirectory(name: string): Promise<string> {
  const path = join(directory.path, name);
  await mkdir(path);
  return path;
}

const address = () => `127.0.0.1:${service.port}`;

const languages: Record<string, { tools: readonly PeerTool[]; lease: () => Promise<string> }> = {
  Go: {
    tools: [pythonProtoc, protocGenGo, protocGenGoGrpc],
    async lease() {
      const cwd = await emptyDirectory("go");
      const module = "github.com/downlease/downlease/gen/go";
      const plugins = [
        `--plugin=protoc-gen-go=${protocGenGo.path}`,
        `--plugin=protoc-gen-go-grpc=${protocGenGoGrpc.path}`,
      ];
      const out = [
        "--go_out=.",
        "--go-grpc_out=.",
        `--go_opt=module=${module}`,
        `--go-grpc_opt=module=${module}`,
      ];
      const protoc = ["-m", "grpc_tools.protoc", `--descriptor_set_in=${descriptorSet}`];
      await run(pythonOfProtoc, [...protoc, ...plugins, ...out, ...ownFiles], { cwd });
      await writeFile(join(cwd, "go.mod"), `module ${module}\n\ngo 1.24\n`);
      await cp(join(programs, "lease.go"), join(cwd, "cmd/lease/main.go"));
      const env = { GO111MODULE: "on", GOFLAGS: "-mod=mod" };
      const needed = ["google.golang.org/grpc@v1.85.0", "google.golang.org/genproto/googleapis/rpc"];
      await run("go", ["get", ...needed], { cwd, env });
      await run("go", ["build", "./..."], { cwd, env });
      return run("go", ["run", "./cmd/lease", address(), "photon"], { cwd, env });
    },
  },
  Python: {
    tools: [pythonProtoc],
    async lease() {
      const cwd = await emptyDirectory("python");
      const out = ["--python_out=.", "--grpc_python_out=."];
      const protoc = ["-m", "grpc_tools.protoc", `--descriptor_set_in=${descriptorSet}`];
      await run(pythonOfProtoc, [...protoc, ...out, ...ownFiles], { cwd });
      const env = { PYTHONPATH: cwd, PYTHONDONTWRITEBYTECODE: "1" };
      return run(pythonOfProtoc, [join(programs, "lease.py"), address(), "photon"], { cwd, env });
    },
  },
  Java: {
    tools: [javaProtoc],
    async lease() {
      const cwd = await emptyDirectory("java");
      const protoc = [`--descriptor_set_in=${descriptorSet}`, "--java_out=."];
      await run(protocOfJava, [...protoc, ...ownFiles, "google/rpc/status.proto"], { cwd });
      const sources = (await readdir(cwd, { recursive: true })).filter((name) => name.endsWith(".java"));
      const javac = ["-cp", javaRuntime, "-d", "classes", ...sources, join(programs, "Lease.java")];
      await run("javac", javac, { cwd });
      return run("java", ["-cp", `classes:${javaRuntime}`, "Lease", address(), "photon"], { cwd });
    },
  },
};

describe("the interface that the service serves", () => {
  for (const [language, { tools, lease }] of Object.entries(languages)) {
    const name = `becomes a client in ${language}, without anything between protoc and its compiler`;
    const reason = reasonAgainstTools(tools);
    if (reason !== undefined) test.skip(`${name} (skipped: ${reason})`);
    else test(name, { timeout }, async () => expect(await lease()).toBe("progress 40\n"));
  }
});
