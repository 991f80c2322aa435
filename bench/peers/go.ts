/** Builds the peers in Go: their code and the code that their plug-ins generate from `proto/`, kept between runs. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NeedMissing, go as needsGo, requireForBuild } from "../needs.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const source = path("go");
const protos = path("../../proto");
const buf = path("../../node_modules/.bin/buf");
const cache = path("../../node_modules/.cache/bench-go");

/** Those that the peers need; `google/` is in modules of Go. */
const generatedFrom = [
  "content/library/item/v1/download_session.proto",
  "vapi/v1/localizable_message.proto",
  "vapi/v1/options.proto",
];

let built: string | undefined;

/**
 * Path of the program; see `main.go`.
 *
 * @throws NeedMissing without Go, or when its modules are unavailable
 */
export function goPeer(): string {
  built ??= build();
  return built;
}

function build(): string {
  const directory = join(cache, digestOfSources());
  const program = join(directory, "peer");
  if (existsSync(program)) return program;
  requireForBuild([needsGo], "the peer in Go");
  mkdirSync(directory, { recursive: true });
  cpSync(source, directory, { recursive: true });
  const paths = generatedFrom.flatMap((file) => ["--path", join(protos, file)]);
  run(buf, ["generate", protos, ...paths], directory);
  run("go", ["build", "-o", "peer.new", "."], directory);
  renameSync(join(directory, "peer.new"), program);
  return program;
}

function digestOfSources(): string {
  const files = [
    ...readdirSync(source).map((name) => join(source, name)),
    ...generatedFrom.map((file) => join(protos, file)),
  ];
  const hash = createHash("sha256");
  for (const file of files.sort()) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

/** The first run gets the modules. */
const limitMs = 300_000;

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, error, stderr } = spawnSync(command, args, { cwd, timeout: limitMs, encoding: "utf8" });
  if (status === 0) return;
  const cause = error ?? new Error(stderr.trim());
  throw new NeedMissing("Go and its module proxy", "the peer in Go", { cause });
}
