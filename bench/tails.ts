/**
 * Where calls spend their time at a fixed rate, above all the slowest hundredth: at work, in garbage collections of the
 * server or of the generator, or waiting for a core. `node bench/tails.ts --help`
 */
import { parseArgs } from "node:util";
import { startRedis } from "../test/support/redis-server.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import { collectOnOneThread } from "./collections.ts";
import { startContender } from "./contender-process.ts";
import { type Contender, downlease, nodeHttp, nodeHttp2 } from "./contenders.ts";
import type { Driver } from "./drivers/driver.ts";
import { drivers } from "./drivers/drivers.ts";
import { closedLoop } from "./load.ts";
import { inRounds } from "./rounds.ts";
import { createSessions } from "./sessions-in-redis.ts";
import { quantile, spread, table } from "./statistics.ts";
import { causesOf } from "./tails/causes.ts";
import { type Measurement, measure } from "./tails/measure.ts";
import { canTrace } from "./tails/trace.ts";

const help = `node bench/tails.ts [options]

  --protocol <name>   rest or grpc (default: both, one after the other)
  --rate <number>     calls per second (default: half of what the service reaches in a closed loop)
  --seconds <number>  seconds of each measurement (3)
  --rounds <number>   rounds, in which the servers take turns (3)
  --v8-flags <flags>  measures the service with these flags of Node.js, too; can be repeated
  --no-trace          does not record the kernel's scheduler, which takes perf and root, and CPU time

The first table has latencies, and how many cores the rest of the machine took meanwhile, perf among it. The second, for
which the scheduler is recorded, has what the slowest hundredth of the calls of all rounds spent their time with, in
milliseconds a call.
`;

const callers = 200;
const warmUpSeconds = 3;
const sides: Readonly<Record<string, { readonly driver: Driver; readonly peer: Contender }>> = {
  rest: { driver: drivers.rest, peer: nodeHttp },
  grpc: { driver: drivers.grpc, peer: nodeHttp2 },
};

collectOnOneThread();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
const { values } = parseArgs({
  options: {
    protocol: { type: "string" },
    rate: { type: "string" },
    seconds: { type: "string", default: "3" },
    rounds: { type: "string", default: "3" },
    "v8-flags": { type: "string", multiple: true, default: [] },
    trace: { type: "boolean", default: true },
    help: { type: "boolean", default: false },
  },
  allowNegative: true,
});
const print = (text: string) => void process.stdout.write(`${text}\n`);

if (values.help) print(help);
else {
  const isTraced = values.trace && canTrace();
  if (values.trace && !isTraced) print("perf cannot record the scheduler here: there will be no causes\n");
  for (const name of values.protocol?.split(",") ?? Object.keys(sides)) await study(name, isTraced);
}

async function study(name: string, isTraced: boolean): Promise<void> {
  const side = sides[name];
  if (side === undefined) throw new Error(`no protocol ${name}; there are ${Object.keys(sides).join(", ")}`);
  await using directory = await tempDir();
  await using redis = await startRedis();
  await using stack = new AsyncDisposableStack();
  const sessionIds = Array.from({ length: 1000 }, () => crypto.randomUUID());
  await createSessions(redis.url, sessionIds);
  const variants = [
    { label: "downlease", contender: downlease, flags: [] },
    ...values["v8-flags"].map((flags) => ({
      label: `downlease, ${flags}`,
      contender: downlease,
      flags: flags.split(" "),
    })),
    { label: side.peer.name, contender: side.peer, flags: [] },
  ];
  const servers = [];
  for (const { label, contender, flags } of variants) {
    const server = await startContender(contender, redis.url, {
      nodeOptions: [...flags, "--import", new URL("tails/collections-probe.ts", import.meta.url).pathname],
      environment: { BENCH_COLLECTIONS_DIRECTORY: directory.path },
    });
    stack.defer(() => server.stop());
    servers.push({ label, server });
  }
  const { driver } = side;
  const rates: number[] = [];
  for (const { server } of servers) {
    const open = await driver.open({ port: server.port, sessionIds, callers });
    const { accepted, seconds } = await closedLoop(open.calls, warmUpSeconds);
    open.close();
    rates.push(accepted / seconds);
  }
  const rate = values.rate === undefined ? rates[0]! / 2 : Number(values.rate);
  const load = { driver, sessionIds, callers, rate, seconds: Number(values.seconds) };
  const place = { directory: directory.path, redisPid: redis.pid, isTraced };
  const measured = await inRounds(servers, Number(values.rounds), ({ server }) =>
    measure(server, load, place),
  );
  const labels = servers.map(({ label }) => label);
  print(`${name}, ${Math.round(rate)} calls a second\n`);
  print(latencyTable(labels, measured));
  if (isTraced) print(`\n${causeTable(labels, measured)}`);
  print("");
}

function latencyTable(labels: readonly string[], measured: readonly (readonly Measurement[])[]): string {
  return table(
    ["", "p50 ms", "p99 ms", "spread", "server CPU µs", "cores that others took"],
    measured.map((rounds, index) => {
      const latencies = rounds.map(({ calls }) =>
        Float64Array.from(calls, ({ due, ended }) => ended - due).sort(),
      );
      const p50 = spread(latencies.map((sorted) => quantile(sorted, 0.5)));
      const p99 = spread(latencies.map((sorted) => quantile(sorted, 0.99)));
      const cpu = spread(rounds.map(({ cpuMicros }) => cpuMicros));
      const others = spread(rounds.map(({ otherCores }) => otherCores));
      const range = `${p99.min.toFixed(2)}–${p99.max.toFixed(2)}`;
      return [
        labels[index]!,
        p50.median.toFixed(2),
        p99.median.toFixed(2),
        range,
        cpu.median.toFixed(1),
        Number.isNaN(others.median) ? "not recorded" : others.median.toFixed(2),
      ];
    }),
  );
}

/** Of all rounds together. */
function causeTable(labels: readonly string[], measured: readonly (readonly Measurement[])[]): string {
  const causes = measured.map((rounds) => causesOf(rounds));
  const rows = causes[0]!.map(({ cause }, row) => [
    cause,
    ...causes.map((each) => `${each[row]!.slowMs.toFixed(2)} (${each[row]!.medianMs.toFixed(2)})`),
  ]);
  return table(["of the slowest hundredth (of the median call), ms", ...labels], rows);
}
