/** What stands between the store and Redis: a program of its own that prints its tables. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Study } from "../bench.ts";

const program = fileURLToPath(new URL("../redis.ts", import.meta.url));

export const redisStudy: Study = {
  name: "redis",
  tables: [],
  async run({ options, progress }) {
    progress("redis: client and script");
    const child = spawn(process.execPath, [program, String(options.rounds)], { stdio: "inherit" });
    process.once("exit", () => child.kill("SIGKILL"));
    const [code] = await once(child, "exit");
    if (code !== 0) throw new Error(`bench/redis.ts ended with ${code}`);
    return [];
  },
};
