#!/usr/bin/env node
import { exitWith, handleBrokenPipe, processIo } from "./cli/io.ts";
import { runCli } from "./cli/program.ts";

const io = processIo(process.env);
handleBrokenPipe(io);
const code = await runCli(process.argv.slice(2), io);
if (code !== undefined) await exitWith(code, io);
