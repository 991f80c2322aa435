/** The parts between the store and Redis, and waiting for replicas: separate programs that print their tables. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Study } from "../study.ts";

const programs = ["redis.ts", "replicas.ts"];

export const redisStudy: Study = {
  name: "redis",
  description: "the parts between the store and Redis, and waiting for replicas; prints tables of its own",
  budgetSeconds: 120,
  isExtra: true,
  tables: [],
  goals: [],
  async run({ options, log }) {
    for (const program of programs) {
      log(`redis: bench/${program}`);
      const path = fileURLToPath(new URL(`../${program}`, import.meta.url));
      const child = spawn(process.execPath, [path, String(options.rounds)], { stdio: "inherit" });
      process.once("exit", () => child.kill("SIGKILL"));
      const [code] = await once(child, "exit");
      if (code !== 0) throw new Error(`bench/${program} ended with ${code}`);
    }
    return { tables: [], figures: { metrics: {}, rows: [] } };
  },
};
