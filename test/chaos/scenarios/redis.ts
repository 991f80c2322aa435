import { startRedis } from "../../support/redis-server.ts";
import { now } from "../history.ts";
import type { Lab } from "../lab.ts";
import { command } from "../redis-groups.ts";
import { RedisProxy } from "../redis-proxy.ts";
import { emptyStore, type Scenario } from "../scenario.ts";

async function threeOnRedis(lab: Lab, options: Parameters<typeof startRedis>[0] = {}) {
  const redis = lab.stack.use(await startRedis(options));
  const args = ["--redis-url", redis.url];
  await lab.startReplicas([args, args, args]);
  return redis;
}

/** Redis stops for a while, again and again. */
function freezes(name: string, seconds: number, leaseSeconds: number, note: string): Scenario {
  return {
    name,
    what: `Redis is stopped (SIGSTOP) for ${seconds} s at a time, ${note}.`,
    store: "Redis",
    leaseSeconds,
    seconds: 25,
    mayBeWithoutStore: true,
    async build(lab) {
      const redis = await threeOnRedis(lab);
      return async () => {
        while (lab.goesOn) {
          await lab.pause(3);
          lab.fault("SIGSTOP of Redis");
          redis.pause();
          await lab.pause(seconds);
          redis.resume();
          lab.healed("SIGCONT of Redis", 5);
        }
        await lab.pause(5);
      };
    },
  };
}

/** A command that is given to Redis again and again. */
function commands(
  name: string,
  what: string,
  seconds: number,
  list: readonly (readonly [string, ...(string | number)[]])[],
): Scenario {
  return {
    name,
    what,
    store: "Redis",
    leaseSeconds: 10,
    seconds: 20,
    async build(lab) {
      const redis = await threeOnRedis(lab);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          await lab.pause(seconds);
          const next = list[turn % list.length]!;
          lab.fault(next.join(" "));
          await command(redis.port, ...next);
        }
        lab.healed("the last command", 5);
        await lab.pause(6);
      };
    },
  };
}

interface ConnectionFaultOptions {
  readonly leaseSeconds?: number;
  /** How soon the replica must serve when new connections work. */
  readonly withinSeconds: number;
  readonly mayBeWithoutStore?: boolean;
}

/** Something happens to the connections of the first of three replicas. */
function connectionFault(
  name: string,
  what: string,
  { leaseSeconds = 20, withinSeconds, mayBeWithoutStore = false }: ConnectionFaultOptions,
  disturb: (proxy: RedisProxy, lab: Lab) => Promise<void>,
): Scenario {
  return {
    name,
    what,
    store: "Redis",
    leaseSeconds,
    seconds: 30,
    mayBeWithoutStore,
    async build(lab) {
      const redis = lab.stack.use(await startRedis());
      const proxy = lab.stack.use(await RedisProxy.start(redis.port));
      const direct = ["--redis-url", redis.url];
      await lab.startReplicas([["--redis-url", `redis://127.0.0.1:${proxy.port}`], direct, direct]);
      return async () => {
        while (lab.goesOn) {
          await lab.pause(3);
          await disturb(proxy, lab);
          lab.healed("new connections work", withinSeconds);
          await lab.pause(10);
        }
      };
    },
  };
}

/** Faults of one Redis, and of the connections to it. */
export const redisScenarios: readonly Scenario[] = [
  freezes("redis-freeze-short", 0.5, 3, "less than a call may take"),
  freezes("redis-freeze", 5, 20, "while leases go on"),
  freezes("redis-freeze-lease", 5, 3, "longer than a lease"),
  {
    name: "redis-crash",
    what: "Redis is killed (SIGKILL) and started again with its append-only file (appendfsync always).",
    store: "Redis",
    leaseSeconds: 20,
    seconds: 25,
    async build(lab) {
      const redis = await threeOnRedis(lab, { appendonly: true });
      return async () => {
        while (lab.goesOn) {
          await lab.pause(4);
          lab.fault("SIGKILL of Redis");
          await redis.kill();
          await lab.pause(1);
          await redis.restart();
          lab.healed("Redis runs again", 5);
        }
        await lab.pause(5);
      };
    },
  },
  {
    name: "redis-empty",
    what: "Redis is killed and started again without its data.",
    store: "Redis",
    leaseSeconds: 20,
    seconds: 25,
    mayBeWithoutStore: true,
    documented: emptyStore,
    async build(lab) {
      const redis = await threeOnRedis(lab);
      return async () => {
        while (lab.goesOn) {
          await lab.pause(4);
          lab.fault("SIGKILL of Redis");
          await redis.kill();
          await redis.restart();
          lab.mayLose(0, now());
          lab.healed("Redis runs again, empty", 5);
        }
        await lab.pause(5);
      };
    },
  },
  connectionFault(
    "connection-swallow",
    "The connections of one replica to Redis swallow everything for 8 s; then only new ones work.",
    { withinSeconds: 5, mayBeWithoutStore: true },
    async (proxy, lab) => {
      lab.fault("the connections of replica 1 to Redis swallow everything");
      proxy.setAll("swallow");
      await lab.pause(8);
      proxy.setNew("pass");
    },
  ),
  connectionFault(
    "connection-one-way",
    "One replica's commands reach Redis for 8 s, and no answer comes back; then only new connections work.",
    { withinSeconds: 5, mayBeWithoutStore: true },
    async (proxy, lab) => {
      lab.fault("replica 1 gets no answers of Redis");
      proxy.setAll("deaf");
      await lab.pause(8);
      proxy.setNew("pass");
    },
  ),
  connectionFault(
    "subscription-deaf",
    "The connections on which one replica hears that sessions end swallow everything; its other ones work.",
    { leaseSeconds: 80, withinSeconds: 3 },
    async (proxy, lab) => {
      lab.fault("replica 1 hears nothing of the ends of sessions");
      proxy.setSubscribers("swallow");
    },
  ),
  connectionFault(
    "connection-reset",
    "The connections of one replica to Redis are reset again and again.",
    { withinSeconds: 3 },
    async (proxy, lab) => {
      for (let turn = 0; turn < 10; turn++) {
        lab.fault("the connections of replica 1 to Redis are reset");
        proxy.reset();
        await lab.pause(0.5);
      }
    },
  ),
  connectionFault(
    "connection-slow",
    "One replica's way to Redis takes 700 ms a round trip for 8 s.",
    { withinSeconds: 3 },
    async (proxy, lab) => {
      lab.fault("the connections of replica 1 to Redis are slow");
      proxy.setAll("slow");
      await lab.pause(8);
      proxy.setAll("pass");
    },
  ),
  {
    name: "redis-full",
    what: "Redis has no memory left (maxmemory, noeviction) for 10 s.",
    store: "Redis",
    leaseSeconds: 20,
    seconds: 30,
    async build(lab) {
      const redis = await threeOnRedis(lab);
      return async () => {
        while (lab.goesOn) {
          await lab.pause(4);
          lab.fault("CONFIG SET maxmemory 1");
          await command(redis.port, "CONFIG", "SET", "maxmemory", 1);
          await lab.pause(10);
          await command(redis.port, "CONFIG", "SET", "maxmemory", 0);
          lab.healed("CONFIG SET maxmemory 0", 5);
          await lab.pause(3);
        }
        await lab.pause(3);
      };
    },
  },
  commands("script-flush", "Redis forgets its scripts twice a second.", 0.5, [["SCRIPT", "FLUSH"]]),
  commands("client-kill", "Redis closes the connections of its clients, those of subscribers too.", 1, [
    ["CLIENT", "KILL", "TYPE", "normal"],
    ["CLIENT", "KILL", "TYPE", "pubsub"],
  ]),
  commands(
    "client-pause",
    "Redis makes its clients wait (CLIENT PAUSE), for less and for longer than a call may take.",
    4,
    [
      ["CLIENT", "PAUSE", 500, "ALL"],
      ["CLIENT", "PAUSE", 2500, "WRITE"],
    ],
  ),
];
