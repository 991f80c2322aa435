/**
 * The parts between the store and Redis, each alone: ways to use the client, ways to send many keep-alives, and the
 * keep-alive script against the smallest script that could do its job. `node bench/redis.ts [rounds]`
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { noRoles } from "../src/domain/roles.ts";
import { coalesceWrites } from "../src/stores/redis/ioredis-internals.ts";
import { sessionKey } from "../src/stores/redis/keys.ts";
import { runScript, runScriptForEach } from "../src/stores/redis/run-script.ts";
import { keepAliveScript as script } from "../src/stores/redis/session-scripts.ts";
import { TimeLimit } from "../src/stores/redis/time-limit.ts";
import { startRedis } from "../test/support/redis-server.ts";
import { median, table } from "./statistics.ts";

const rounds = Number(process.argv[2] ?? 7);
const callers = 200;
const batchLength = 100;
const commandTimeout = 800;
const limit = new TimeLimit(commandTimeout);
const leaseMs = 3_600_000;
const caller = { principal: "anonymous", roles: noRoles };
const numbers = Array.from({ length: 1_000 }, (_, number) => String(number).padStart(12, "0"));

const print = (text: string) => process.stdout.write(`${text}\n`);

await using redis = await startRedis();
const admin = new Redis(redis.url);
await admin.script("LOAD", script.text);
await admin.function("LOAD", asLibrary("keepAlive", script.text));

print(`Client, ${callers} callers in a closed loop\n`);
print(await clientTable());
print(`\nKeep-alives in batches of ${batchLength}, 4 callers\n`);
print(await batchTable());
print("\nScript alone, redis-benchmark -c 50 -P 32\n");
print(await scriptTable());
admin.disconnect();

/** One way to send a keep-alive. */
type KeepAlive = (id: string, progress: number) => Promise<unknown>;
interface Cost {
  readonly micros: number;
  readonly rate: number;
}

function inputOf(id: string, progress: number) {
  return { id, caller, leaseMs, progress };
}

/** ioredis' own command: a promise, a timer and a conversion each. */
function command(client: Redis): KeepAlive {
  return (id, progress) =>
    client.evalsha(script.sha1, 1, sessionKey(id), caller.principal, leaseMs, progress).then(outputOf);
}

function functionCall(client: Redis): KeepAlive {
  return (id, progress) =>
    client.fcall("keepAlive", 1, sessionKey(id), caller.principal, leaseMs, progress).then(outputOf);
}

/** The store's own command. */
function storeCall(client: Redis): KeepAlive {
  return (id, progress) => runScript(client, script, inputOf(id, progress), limit);
}

function outputOf(reply: unknown) {
  const [tag = "", ...rest] = String(reply).split(" ");
  return script.output([tag, ...rest]);
}

interface ClientOptions {
  readonly enableAutoPipelining?: boolean;
  readonly protocol?: 2 | 3;
}

async function open(options: ClientOptions = {}): Promise<Redis> {
  const client = new Redis(redis.port, {
    ...options,
    commandTimeout,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    lazyConnect: true,
  });
  await client.connect();
  return client;
}

async function openCoalescing(options: ClientOptions = {}): Promise<Redis> {
  // The client is already connected, so its `connect` event is repeated.
  const client = coalesceWrites(await open(options));
  client.emit("connect");
  return client;
}

async function clientTable(): Promise<string> {
  const [bare, auto, resp2] = await Promise.all([
    open(),
    open({ enableAutoPipelining: true }),
    openCoalescing({ protocol: 2 }),
  ]);
  const coalescing = await Promise.all([1, 2, 3, 4].map(() => openCoalescing()));
  const keepAlives = coalescing.map((client) => command(client));
  const over = (connections: number): KeepAlive => {
    let turn = 0;
    return (id, progress) => keepAlives[turn++ % connections]!(id, progress);
  };
  const ways: Record<string, KeepAlive> = {
    "ioredis as it comes": command(bare),
    "auto-pipelining": command(auto),
    "one write a turn (`coalesceWrites`)": over(1),
    "the same, 2 connections": over(2),
    "the same, 4 connections": over(4),
    "the same, RESP2": command(resp2),
    "the same, FCALL": functionCall(coalescing[0]!),
    "the store's own command (`runScript`)": storeCall(coalescing[0]!),
  };
  await reset(50, numbers.length);
  const costs = await interleaved(ways, (keepAlive) => inClosedLoop(keepAlive, 20_000));
  for (const client of [bare, auto, resp2, ...coalescing]) client.disconnect();
  return costTable("way", costs);
}

async function batchTable(): Promise<string> {
  const client = await openCoalescing();
  const each = command(client);
  const ways: Record<string, (keepAlives: [string, number][]) => Promise<unknown>> = {
    "an `evalsha` each": (keepAlives) => Promise.all(keepAlives.map(([id, progress]) => each(id, progress))),
    "ioredis' pipeline": async (keepAlives) => {
      const pipeline = client.pipeline();
      for (const [id, progress] of keepAlives) {
        pipeline.evalsha(script.sha1, 1, sessionKey(id), caller.principal, leaseMs, progress);
      }
      return (await pipeline.exec())?.map(([, reply]) => outputOf(reply));
    },
    "`runScriptForEach`": (keepAlives) =>
      runScriptForEach(
        client,
        script,
        keepAlives.map(([id, progress]) => inputOf(id, progress)),
        limit,
      ),
  };
  const costs = await interleaved(ways, (send) => inBatches(send, 40_000));
  client.disconnect();
  return costTable("way", costs);
}

/** Measures every way once per round, after a warm-up round. */
async function interleaved<Way>(
  ways: Record<string, Way>,
  measure: (way: Way) => Promise<Cost>,
): Promise<Map<string, Cost[]>> {
  const costs = new Map<string, Cost[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const cost = await measure(way);
      if (round > 0) costs.get(name)?.push(cost);
    }
  }
  return costs;
}

function costTable(what: string, costs: Map<string, Cost[]>): string {
  const medians = [...costs].map(([name, measured]) => ({
    name,
    micros: median(measured.map(({ micros }) => micros)),
    rate: median(measured.map(({ rate }) => rate)),
  }));
  const first = medians[0]!;
  return table(
    [what, "client CPU µs/command", "ratio", "commands/s", "ratio"],
    medians.map(({ name, micros, rate }) => [
      name,
      micros.toFixed(2),
      (micros / first.micros).toFixed(2),
      rate.toFixed(0),
      (rate / first.rate).toFixed(2),
    ]),
  );
}

function inClosedLoop(keepAlive: KeepAlive, count: number): Promise<Cost> {
  let left = count;
  return costOf(count, callers, async () => {
    while (left-- > 0) await keepAlive(numbers[(left * 7) % numbers.length]!, left % 101);
  });
}

function inBatches(send: (keepAlives: [string, number][]) => Promise<unknown>, count: number): Promise<Cost> {
  let left = count / batchLength;
  return costOf(count, 4, async () => {
    while (left-- > 0) {
      const keepAlives = Array.from({ length: batchLength }, (_, index): [string, number] => [
        numbers[(left * 37 + index) % numbers.length]!,
        index,
      ]);
      await send(keepAlives);
    }
  });
}

async function costOf(count: number, workers: number, work: () => Promise<void>): Promise<Cost> {
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: workers }, work));
  const { user, system } = process.cpuUsage(cpu);
  return { micros: (user + system) / count, rate: (count / (performance.now() - startedAt)) * 1000 };
}

/** Checks state and owner, raises the progress, renews, returns the expiry: no tags, no details of a refusal. */
function minimalScript(): string {
  return `
local call, key, progress = redis.call, KEYS[1], ARGV[3]
local session = call("HMGET", key, "s", "o", "p")
if session[1] ~= "ACTIVE" or session[2] ~= ARGV[1] then return 0 end
if progress ~= "" and progress - session[3] > 0 then call("HSET", key, "p", progress) end
call("PEXPIRE", key, ARGV[2], "GT")
return call("PEXPIRETIME", key)`;
}

function asLibrary(name: string, body: string): string {
  return `#!lua name=${name}\nredis.register_function("${name}", function(KEYS, ARGV)\n${body}\nend)`;
}

/** Resets `count` numbered sessions to a progress. */
async function reset(progress: number, count: number): Promise<void> {
  const text = `for number = 0, ARGV[2] - 1 do
    local key = string.format("${sessionKey("%012d")}", number)
    redis.call("HSET", key, "s", "ACTIVE", "p", ARGV[1], "o", "${caller.principal}",
      "i", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "v", "0123456789abcdef", "c", "1700000000000000")
    redis.call("PEXPIRE", key, ${leaseMs})
  end`;
  await admin.call("EVAL", text, 0, progress, count);
}

/** Time inside Redis by its own statistics, and the rate that redis-benchmark reaches. */
async function scriptTable(): Promise<string> {
  const scripts: Record<string, readonly [command: string, identity: string]> = {
    minimal: ["EVALSHA", String(await admin.script("LOAD", minimalScript()))],
    "keepAlive-1": ["EVALSHA", script.sha1],
    "keepAlive-1 by FCALL": ["FCALL", "keepAlive"],
  };
  // To raise the progress each time, few of the randomly picked keys may repeat.
  const cases = [
    { what: "progress raised", progress: "50", sessions: 200_000, count: 20_000 },
    { what: "not raised", progress: "0", sessions: 1_000, count: 100_000 },
    { what: "no progress sent", progress: "", sessions: 1_000, count: 100_000 },
  ];
  const rows: string[][] = [];
  for (const { what, progress, sessions, count } of cases) {
    const costs = await interleaved(scripts, async ([name, identity]) => {
      await reset(0, sessions);
      await admin.config("RESETSTAT");
      const key = sessionKey("__rand_int__");
      const load = ["-p", redis.port, "-c", 50, "-P", 32, "-n", count, "-r", sessions, "--csv"].map(String);
      const args = [...load, name, identity, "1", key, caller.principal, String(leaseMs), progress];
      const { stdout } = await promisify(execFile)("redis-benchmark", args);
      const stats = await admin.info("commandstats");
      const inRedis = new RegExp(`cmdstat_${name.toLowerCase()}:.*usec_per_call=([\\d.]+).*failed_calls=0`);
      return {
        micros: Number(inRedis.exec(stats)?.[1]),
        rate: Number(new RegExp(`^"${name}[^"]*","([\\d.]+)"`, "m").exec(stdout)?.[1]),
      };
    });
    const of = (name: string, value: (cost: Cost) => number) => median((costs.get(name) ?? []).map(value));
    const [micros, rate] = [({ micros }: Cost) => micros, ({ rate }: Cost) => rate];
    for (const name of Object.keys(scripts)) {
      rows.push([
        what,
        name,
        of(name, micros).toFixed(2),
        (of(name, micros) / of("minimal", micros)).toFixed(2),
        of(name, rate).toFixed(0),
        (of("minimal", rate) / of(name, rate)).toFixed(2),
      ]);
    }
  }
  return table(["case", "script", "µs/call in Redis", "ratio", "calls/s", "ratio of time"], rows);
}
