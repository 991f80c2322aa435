import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "../../support/eventually.ts";
import { freePort, onFreePorts } from "../../support/ports.ts";
import { startProcess } from "../../support/process.ts";
import { type RedisServer, startRedis } from "../../support/redis-server.ts";
import { tempDir } from "../../support/temp-dir.ts";
import { now } from "../history.ts";
import type { Lab } from "../lab.ts";
import {
  command,
  moveSlots,
  replicaIsInSync,
  startClusterWithReplicas,
  startSentinels,
} from "../redis-groups.ts";
import { lostWrites, type Scenario } from "../scenario.ts";

/** Replication takes milliseconds here; more may be behind on a busy machine. */
const replicationLagMs = 1000;

async function threeOn(lab: Lab, url: string): Promise<void> {
  const args = ["--redis-url", url];
  await lab.startReplicas([args, args, args]);
}

/** Lets the last writes before now be lost. */
function mayLoseLatest(lab: Lab): void {
  lab.mayLose(now() - replicationLagMs, now() + 100);
}

/** Several Redis servers, and one of them takes over from another. */
export const failoverScenarios: readonly Scenario[] = [
  {
    name: "sentinel-kill",
    what: "The master of a Sentinel group is killed; a replica takes over.",
    store: "Sentinel",
    leaseSeconds: 30,
    seconds: 25,
    mayBeWithoutStore: true,
    documented: lostWrites,
    async build(lab) {
      const group = await startSentinels(lab.stack);
      await threeOn(lab, group.url);
      return async () => {
        await lab.pause(4);
        const master = await group.master();
        mayLoseLatest(lab);
        lab.fault("SIGKILL of the master");
        await master.kill();
        lab.healed("the master was killed", 12);
        await lab.pause(12);
        await master.restart();
        lab.healed("the old master runs again, as a replica", 5);
        while (lab.goesOn) await lab.pause(1);
        await lab.pause(5);
      };
    },
  },
  {
    name: "sentinel-lossy",
    what: "The replicas of a Sentinel group are cut off for 1.2 s, then the master is killed; a replica takes over.",
    store: "Sentinel",
    leaseSeconds: 30,
    seconds: 25,
    mayBeWithoutStore: true,
    documented: lostWrites,
    async build(lab) {
      const group = await startSentinels(lab.stack);
      await threeOn(lab, group.url);
      return async () => {
        await lab.pause(4);
        const master = await group.master();
        const cutAt = lab.fault("the replicas are cut off");
        // Nobody listens on port 1. Sentinel corrects a wrong master only after several seconds.
        const others = group.servers.filter((server) => server !== master);
        await Promise.all(others.map(({ port }) => command(port, "REPLICAOF", "127.0.0.1", 1)));
        await lab.pause(1.2);
        lab.fault("SIGKILL of the master");
        await master.kill();
        lab.mayLose(cutAt - replicationLagMs, now());
        lab.healed("the master was killed", 12);
        while (lab.goesOn) await lab.pause(1);
      };
    },
  },
  {
    name: "sentinel-freeze",
    what: "The master of a Sentinel group is stopped (SIGSTOP) for 15 s; a replica takes over; then it goes on.",
    store: "Sentinel",
    leaseSeconds: 60,
    seconds: 35,
    mayBeWithoutStore: true,
    documented: lostWrites,
    async build(lab) {
      const group = await startSentinels(lab.stack);
      await threeOn(lab, group.url);
      return async () => {
        await lab.pause(4);
        const master = await group.master();
        mayLoseLatest(lab);
        lab.fault("SIGSTOP of the master");
        master.pause();
        lab.healed("the master was stopped", 12);
        await lab.pause(15);
        master.resume();
        lab.healed("SIGCONT of the old master", 3);
        await lab.pause(13);
        while (lab.goesOn) await lab.pause(1);
      };
    },
  },
  {
    name: "cluster-reshard",
    what: "Slots and their keys move from one master of a Cluster to another and back.",
    store: "Cluster",
    leaseSeconds: 20,
    seconds: 25,
    async build(lab) {
      const { url, masters } = await startClusterWithReplicas(lab.stack);
      await threeOn(lab, url);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          await lab.pause(1);
          const [from, to] = turn % 2 === 0 ? [masters[0]!, masters[1]!] : [masters[1]!, masters[0]!];
          lab.fault(`slots move from master ${turn % 2 === 0 ? "1 to 2" : "2 to 1"}`);
          await moveSlots(from, to, [masters[2]!], 60);
        }
        lab.healed("the last slot has moved", 3);
        await lab.pause(4);
      };
    },
  },
  {
    name: "cluster-failover",
    what: "Replicas of a Cluster take over on order (CLUSTER FAILOVER), which loses nothing.",
    store: "Cluster",
    leaseSeconds: 20,
    seconds: 25,
    async build(lab) {
      const { url, masters, replicas } = await startClusterWithReplicas(lab.stack);
      await threeOn(lab, url);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          await lab.pause(2);
          const number = turn % masters.length;
          const next = Math.floor(turn / masters.length) % 2 === 0 ? replicas[number]! : masters[number]!;
          lab.fault(`CLUSTER FAILOVER of shard ${number + 1}`);
          await command(next.port, "CLUSTER", "FAILOVER");
          await becomesMaster(next);
          lab.healed("the failover", 4);
          await lab.pause(1);
        }
        await lab.pause(4);
      };
    },
  },
  {
    name: "cluster-kill",
    what: "A master of a Cluster is killed; its replica takes over.",
    store: "Cluster",
    leaseSeconds: 30,
    seconds: 25,
    mayBeWithoutStore: true,
    documented: lostWrites,
    async build(lab) {
      const { url, masters } = await startClusterWithReplicas(lab.stack);
      await threeOn(lab, url);
      return async () => {
        await lab.pause(4);
        mayLoseLatest(lab);
        lab.fault("SIGKILL of a master");
        await masters[0]!.kill();
        lab.healed("the master was killed", 12);
        await lab.pause(13);
        await masters[0]!.restart();
        lab.healed("the old master runs again, as a replica", 5);
        while (lab.goesOn) await lab.pause(1);
        await lab.pause(5);
      };
    },
  },
  {
    name: "cluster-freeze",
    what: "A master of a Cluster is stopped (SIGSTOP) for 20 s; its replica takes over; then it goes on.",
    store: "Cluster",
    leaseSeconds: 60,
    seconds: 35,
    mayBeWithoutStore: true,
    documented: lostWrites,
    async build(lab) {
      const { url, masters } = await startClusterWithReplicas(lab.stack);
      await threeOn(lab, url);
      return async () => {
        await lab.pause(4);
        mayLoseLatest(lab);
        lab.fault("SIGSTOP of a master");
        masters[0]!.pause();
        lab.healed("the master was stopped", 12);
        await lab.pause(20);
        masters[0]!.resume();
        lab.healed("SIGCONT of the old master", 3);
        await lab.pause(8);
        while (lab.goesOn) await lab.pause(1);
      };
    },
  },
  {
    name: "moved-endpoint",
    what: "One URL in front of whichever of two servers is master; REPLICAOF makes the other one master, and back.",
    store: "Redis",
    leaseSeconds: 30,
    seconds: 35,
    mayBeWithoutStore: true,
    documented: lostWrites,
    async build(lab) {
      const first = lab.stack.use(await startRedis());
      const replicaOf = (master: RedisServer) => ["REPLICAOF", "127.0.0.1", master.port] as const;
      const second = lab.stack.use(
        await startRedis({ args: ["--replicaof", "127.0.0.1", String(first.port)] }),
      );
      await replicaIsInSync(second);
      const port = await startEndpoint(lab, [first, second]);
      await threeOn(lab, `redis://127.0.0.1:${port}`);
      return async () => {
        for (let turn = 0; lab.goesOn; turn++) {
          await lab.pause(4);
          const [from, to] = turn % 2 === 0 ? [first, second] : [second, first];
          const begun = lab.fault(`REPLICAOF: server ${turn % 2 === 0 ? 2 : 1} becomes master`);
          await command(to.port, "REPLICAOF", "NO", "ONE");
          await command(from.port, ...replicaOf(to));
          // Until then both were masters.
          lab.mayLose(begun - replicationLagMs, now() + 100);
          lab.healed("the other server became master", 7);
          await lab.pause(10);
          await replicaIsInSync(from);
        }
      };
    },
  },
];

function becomesMaster({ port }: RedisServer): Promise<unknown> {
  return eventually(
    `the server on port ${port} to be master`,
    async () => String(await command(port, "INFO", "replication")).includes("role:master"),
    { withinMs: 15_000 },
  );
}

/** HAProxy on a port that leads to the master, as managed services have it. Connections stay where they are. */
function startEndpoint(lab: Lab, servers: readonly RedisServer[]): Promise<number> {
  return onFreePorts(async () => {
    const directory = await tempDir();
    const port = await freePort();
    const config = join(directory.path, "redis.cfg");
    const lines = [
      "defaults",
      "  mode tcp",
      "  timeout connect 1s",
      "  timeout client 10m",
      "  timeout server 10m",
      "listen redis",
      `  bind 127.0.0.1:${port}`,
      "  balance first",
      "  option tcp-check",
      "  tcp-check send info\\ replication\\r\\n",
      "  tcp-check expect string role:master",
      ...servers.map(
        (server, index) => `  server redis-${index} 127.0.0.1:${server.port} check inter 300ms fall 1 rise 1`,
      ),
    ];
    await writeFile(config, `${lines.join("\n")}\n`);
    const haproxy = await startProcess("haproxy", ["-db", "-dR", "-f", config], { scratch: directory.path });
    lab.stack.defer(async () => {
      await haproxy.kill();
      await directory.remove();
    });
    await eventually(
      "the endpoint",
      async () => haproxy.exit !== undefined || (await command(port, "PING")),
      {
        withinMs: 15_000,
      },
    );
    if (haproxy.exit !== undefined)
      throw new Error(`haproxy did not start: ${haproxy.stderr}${haproxy.stdout}`);
    return port;
  });
}
