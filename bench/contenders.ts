import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { eventually } from "../test/support/eventually.ts";
import { freePort } from "../test/support/ports.ts";

/** A server that is measured, in a process of its own. */
export interface Contender {
  readonly name: string;
  /** Command line for a port. */
  args(port: number, redisUrl: string): string[];
}

export interface RunningContender {
  readonly port: number;
  /** CPU time used so far, user and system, in seconds. */
  cpuSeconds(): number;
  stop(): Promise<void>;
}

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export const downlease: Contender = {
  name: "downlease",
  args: (port, redisUrl) => [
    path("../src/main.ts"),
    "serve",
    "--port",
    String(port),
    "--redis-url",
    redisUrl,
  ],
};

/** As the peers, which write no line a call. */
export const downleaseWithoutCallLog: Contender = {
  name: "downlease, no line a call",
  args: (port, redisUrl) => [...downlease.args(port, redisUrl), "--log-level", "warn"],
};

export const nodeHttp: Contender = {
  name: "node:http",
  args: (port) => [path("peers/node-http.ts"), String(port)],
};

export const grpcJs: Contender = {
  name: "grpc-js",
  args: (port) => [path("peers/grpc-js.ts"), String(port)],
};

/** Linux counts CPU time in ticks of 10 ms. */
const ticksPerSecond = 100;

export async function startContender(contender: Contender, redisUrl: string): Promise<RunningContender> {
  const port = await freePort();
  const child = spawn(process.execPath, contender.args(port, redisUrl), {
    // Logs are written, as in production, to a place that keeps nothing.
    stdio: ["ignore", "ignore", "inherit"],
    env: { ...process.env, REDIS_URL: redisUrl },
  });
  process.once("exit", () => child.kill("SIGKILL"));
  const exited = new Promise((resolve) => child.once("exit", resolve));
  await eventually(`${contender.name} on port ${port}`, () => accepts(port), { withinMs: 15_000 });
  return {
    port,
    cpuSeconds() {
      const stat = readFileSync(`/proc/${child.pid}/stat`, "utf8");
      const [user, system] = stat
        .slice(stat.lastIndexOf(")") + 2)
        .split(" ")
        .slice(11, 13);
      return (Number(user) + Number(system)) / ticksPerSecond;
    },
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
