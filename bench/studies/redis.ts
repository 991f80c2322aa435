/** The parts between the store and Redis: runs a separate program that prints its tables. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Study } from "../study.ts";

const program = fileURLToPath(new URL("../redis.ts", import.meta.url));

export const redisStudy: Study = {
  name: "redis",
  tables: [],
  async run({ options, log }) {
    log("redis: client and script");
    const child = spawn(process.execPath, [program, String(options.rounds)], { stdio: "inherit" });
    process.once("exit", () => child.kill("SIGKILL"));
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`bench/redis.ts ended with ${code}`);
    return [];
  },
};
