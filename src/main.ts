#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { compileCacheDirectory } from "./config/compile-cache.ts";

// Halves the time to start. It caches only what is loaded after it, so the program is imported below.
const cacheDirectory = compileCacheDirectory(process.env);
if (cacheDirectory !== undefined) enableCompileCache(cacheDirectory);

const { exitWith, handleBrokenPipe, processIo } = await import("./cli/io.ts");
const { runCli } = await import("./cli/program.ts");

const io = processIo(process.env);
handleBrokenPipe(io);
const code = await runCli(process.argv.slice(2), io);
if (code !== undefined) await exitWith(code, io);
