/** Replicas of the service on one store. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RunningContender, startContender } from "../contender-process.ts";
import { downleaseServing } from "../contenders.ts";
import { loginSession } from "../credentials.ts";
import type { Header } from "../drivers/driver.ts";
import { cpuNanosOfTree, memoryOf } from "../process-figures.ts";
import { leaseSeconds } from "./store.ts";

export class Replicas implements AsyncDisposable {
  readonly running: readonly RunningContender[];
  /** Of one operator, who may keep everybody's sessions alive. */
  readonly headers: readonly Header[];

  private constructor(running: readonly RunningContender[], headers: readonly Header[]) {
    this.running = running;
    this.headers = headers;
  }

  /** @param root of the content @param directory for the users file */
  static async start(count: number, redisUrl: string, root: string, directory: string): Promise<Replicas> {
    const users = join(directory, "operators");
    const user = readFileSync(new URL("../users", import.meta.url), "utf8").trimEnd();
    writeFileSync(users, `${user.replace(/:?$/, ":admin")}\n`, { mode: 0o600 });
    const flags = ["--users-file", users, "--lease-seconds", String(leaseSeconds), "--admin-listen", "off"];
    const running: RunningContender[] = [];
    try {
      for (let n = 0; n < count; n++) {
        running.push(await startContender(downleaseServing(root, ...flags), redisUrl));
      }
      return new Replicas(running, await loginSession(running[0]!.port));
    } catch (error) {
      for (const { stop } of running) await stop();
      throw error;
    }
  }

  get ports(): number[] {
    return this.running.map(({ port }) => port);
  }

  /** CPU time of each so far. */
  readonly cpuNanos = (): number[] => this.running.map(({ pid }) => cpuNanosOfTree(pid));

  /** Resident memory of each, in bytes. */
  memory(): number[] {
    return this.running.map(({ pid }) => memoryOf(pid));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.running.map(({ stop }) => stop()));
  }
}
