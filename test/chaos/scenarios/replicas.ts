import { isGone } from "../../support/process.ts";
import { startRedis } from "../../support/redis-server.ts";
import type { Lab } from "../lab.ts";
import type { Replica } from "../replicas.ts";
import type { Scenario } from "../scenario.ts";

async function threeOnRedis(lab: Lab, ...more: readonly string[]): Promise<Replica[]> {
  const { url } = lab.stack.use(await startRedis());
  const args = ["--redis-url", url, ...more];
  return lab.startReplicas([args, args, args]);
}

/** Faults of the service itself. */
export const replicaScenarios: readonly Scenario[] = [
  {
    name: "none",
    what: "Nothing is done: three replicas on one Redis.",
    store: "Redis",
    leaseSeconds: 3,
    seconds: 15,
    async build(lab) {
      await threeOnRedis(lab);
      return async () => {
        lab.healed("the clients begin", 2);
        while (lab.goesOn) await lab.pause(0.5);
      };
    },
  },
  {
    name: "replica-kill",
    what: "Replicas are killed (SIGKILL) in turn and started again.",
    store: "Redis",
    leaseSeconds: 10,
    seconds: 25,
    async build(lab) {
      const replicas = await threeOnRedis(lab);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          const number = turn % replicas.length;
          await lab.pause(2);
          lab.fault(`SIGKILL of replica ${number + 1}`);
          await replicas[number]!.kill();
          await lab.pause(2);
          await replicas[number]!.start();
          lab.healed(`replica ${number + 1} runs again`, 2);
        }
        await lab.pause(2);
      };
    },
  },
  {
    name: "replica-restart",
    what: "Replicas are restarted in turn (SIGTERM), as in a rolling update.",
    store: "Redis",
    leaseSeconds: 10,
    seconds: 20,
    async build(lab) {
      const replicas = await threeOnRedis(lab, "--drain-seconds", "2", "--grace-seconds", "5");
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          const number = turn % replicas.length;
          await lab.pause(1);
          lab.fault(`SIGTERM of replica ${number + 1}`);
          await replicas[number]!.restart();
          lab.healed(`replica ${number + 1} runs again`, 2);
        }
        await lab.pause(2);
      };
    },
  },
  {
    name: "replica-freeze",
    what: "Replicas are stopped (SIGSTOP) in turn for 3 s.",
    store: "Redis",
    leaseSeconds: 10,
    seconds: 25,
    async build(lab) {
      const replicas = await threeOnRedis(lab);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          const number = turn % replicas.length;
          await lab.pause(2);
          lab.fault(`SIGSTOP of replica ${number + 1}`);
          replicas[number]!.freeze();
          await lab.pause(3);
          replicas[number]!.resume();
          lab.healed(`SIGCONT of replica ${number + 1}`, 3);
        }
        await lab.pause(3);
      };
    },
  },
  {
    name: "workers-kill",
    what: "Two replicas of two workers each, whose workers are killed.",
    store: "Redis",
    leaseSeconds: 10,
    seconds: 25,
    async build(lab) {
      const { url } = lab.stack.use(await startRedis());
      const args = ["--redis-url", url, "--workers", "2"];
      const replicas = await lab.startReplicas([args, args]);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          const number = turn % replicas.length;
          await lab.pause(3);
          const [pid] = replicas[number]!.workers.filter((worker) => !isGone(worker));
          lab.fault(`SIGKILL of a worker of replica ${number + 1}`);
          if (pid !== undefined) process.kill(pid, "SIGKILL");
          lab.healed("a worker was killed", 5);
        }
        await lab.pause(3);
      };
    },
  },
];
