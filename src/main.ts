#!/usr/bin/env node
import { nodeProblem } from "./client/node-version.ts";

const problem = nodeProblem(process.versions.node);
if (problem !== undefined) {
  process.stderr.write(`${problem}\n`);
  process.exit(1);
}

// Everything else is loaded only now, because old releases of Node.js can't load it.
const { enableCompileCache } = await import("node:module");
const { compileCacheDirectory } = await import("./config/compile-cache.ts");

// Halves the time to start. It caches only what is loaded after it.
const cacheDirectory = compileCacheDirectory(process.env);
if (cacheDirectory !== undefined) enableCompileCache(cacheDirectory);

const { processIo } = await import("./cli/io.ts");
const { runCli } = await import("./cli/program.ts");

const io = processIo(process.env);
const code = await runCli(process.argv.slice(2), io);
// Even if connections are still open.
if (code !== undefined) io.exit(code);
