/** The performance goals of the service, and whether a run meets them. */
import * as contenders from "./contenders.ts";
import { downleaseFiles, type FileServer, nginxCopying, nginxSendfile } from "./downloads/servers.ts";
import { drivers } from "./drivers/drivers.ts";
import { times } from "./formats.ts";
import type { LoadResult } from "./load.ts";
import {
  type OverloadRound,
  type Results,
  rowName,
  type StoreName,
  storeNames,
  type ThroughputRound,
} from "./results.ts";
import { median, quantile, ratio, type Spread } from "./statistics.ts";
import type { DownloadGroup } from "./studies/downloads.ts";
import { halfTheCallers } from "./studies/throughput.ts";
import type { Table } from "./study.ts";

interface Goal {
  readonly what: string;
  readonly target: string;
  /** Undefined when the run did not measure it. */
  measured(results: Results): { readonly value: string; readonly met: boolean } | undefined;
}

interface Side {
  readonly driver: { readonly name: string };
  readonly contender: { readonly name: string };
}

const side = (driver: Side["driver"], contender: Side["contender"]): Side => ({ driver, contender });
const unary = side(drivers.grpc, contenders.downlease);
const rest = side(drivers.rest, contenders.downlease);

const goals: readonly Goal[] = [
  compareSides("gRPC: rate against grpc-js", "rate", unary, side(drivers.grpc, contenders.grpcJs), "≥ 1.6"),
  compareSides(
    "gRPC: rate against connect-node",
    "rate",
    unary,
    side(drivers.grpc, contenders.connectHttp2),
    "≥ 6",
  ),
  compareSides(
    "gRPC: rate against bare node:http2",
    "rate",
    unary,
    side(drivers.grpc, contenders.nodeHttp2),
    "≥ 0.85",
  ),
  compareSides(
    "REST: rate against bare node:http",
    "rate",
    rest,
    side(drivers.rest, contenders.nodeHttp),
    "≥ 0.9",
  ),
  compareSides("REST: rate against Fastify", "rate", rest, side(drivers.rest, contenders.fastify), "> 1"),
  compareSides(
    "server CPU of a streamed heartbeat against unary",
    "cpuMicros",
    side(drivers.grpcStream, { name: "downlease, streamed" }),
    unary,
    "≤ 0.333",
  ),
  compareSides(
    "server CPU of a heartbeat in a batch of 100 against unary",
    "cpuMicros",
    side(drivers.grpcBatch, { name: "downlease, batches of 100" }),
    unary,
    "≤ 0.25",
  ),
  compareSides(
    "server CPU of two workers against one, as many callers for each",
    "cpuMicros",
    side(drivers.grpc, contenders.downleaseWithTwoWorkers),
    side(drivers.grpc, { name: halfTheCallers }),
    "≤ 1.1",
  ),
  ...[drivers.rest, drivers.grpc].map((driver) =>
    compareSides(
      `${nameOf(driver.name)}: rate with a login session against without`,
      "rate",
      side(driver, contenders.downleaseWithLogin),
      side(driver, contenders.downlease),
      "≥ 0.75",
    ),
  ),
  ...[drivers.rest, drivers.grpc].flatMap((driver) => [
    p99Goal(driver.name, "at half of the maximum", ["half"], "< 5 ms"),
    p99Goal(
      driver.name,
      "of accepted calls, five-fold overload",
      ["fivefoldRate", "fivefoldCallers"],
      "< 50 ms",
    ),
    answeredGoal(driver.name),
  ]),
  download("one download", "download", "rate", nginxCopying, "≥ 0.6"),
  download("one download", "download", "rate", nginxSendfile, "≥ 0.6"),
  download("one download", "download", "cpu", nginxCopying, "≤ 1.5"),
  download("64 downloads at a time", "downloads-64", "cpu", nginxCopying, "≤ 1.5"),
  memoryGoal("< 200 MiB"),
  ...storeNames.map((store) => idleGoal(store, "< 0.1 %")),
];

export const goalsTable = "goals";

export function goalsOf(results: Results): Table {
  return {
    name: goalsTable,
    title: "What it must show",
    header: ["", "target", "measured", "met"],
    rows: goals.map(({ what, target, measured }) => {
      const result = measured(results);
      if (result === undefined) return [what, target, "not measured", ""];
      return [what, target, result.value, result.met ? "yes" : "no"];
    }),
  };
}

/** A ratio of medians; for a rate, the ratio of the CPU times is printed, too. */
function compareSides(
  what: string,
  key: "rate" | "cpuMicros",
  ours: Side,
  theirs: Side,
  target: string,
): Goal {
  return {
    what,
    target,
    measured({ throughput }) {
      const rounds = throughput.get(rowName(ours.driver.name, ours.contender.name));
      const others = throughput.get(rowName(theirs.driver.name, theirs.contender.name));
      if (rounds === undefined || others === undefined) return undefined;
      const of = (pick: keyof ThroughputRound): Spread =>
        ratio(
          rounds.map((round) => round[pick]),
          others.map((round) => round[pick]),
        );
      const value = of(key);
      const cpu = key === "rate" ? `, CPU ${of("cpuMicros").median.toFixed(2)}` : "";
      return { value: `${times(value)}${cpu}`, met: meets(value.median, target) };
    },
  };
}

function p99Goal(
  driver: string,
  what: string,
  models: readonly (keyof OverloadRound)[],
  target: string,
): Goal {
  return {
    what: `${nameOf(driver)}: p99 ${what}`,
    target,
    measured({ overload }) {
      const rounds = overload.get(driver);
      if (rounds === undefined) return undefined;
      const p99s = models.map((model) =>
        median(rounds.map((round) => quantile(round[model].latencies, 0.99))),
      );
      const worst = Math.max(...p99s);
      return { value: `${worst.toFixed(1)} ms`, met: meets(worst, target) };
    },
  };
}

function answeredGoal(driver: string): Goal {
  return {
    what: `${nameOf(driver)}: five-fold overload, calls neither accepted nor turned away as unavailable`,
    target: "0",
    measured({ overload }) {
      const rounds = overload.get(driver);
      if (rounds === undefined) return undefined;
      const sum = (value: (result: LoadResult) => number) =>
        rounds.reduce(
          (total, { fivefoldRate, fivefoldCallers }) => total + value(fivefoldRate) + value(fivefoldCallers),
          0,
        );
      const failed = sum((result) => result.failed);
      const lost = sum((result) => result.lost);
      const away = sum((result) => result.unavailable);
      return {
        value: `${failed} errors, ${lost} lost (${away.toLocaleString("en")} turned away)`,
        met: failed + lost === 0,
      };
    },
  };
}

function download(
  what: string,
  group: DownloadGroup["name"],
  key: "rate" | "cpu",
  theirs: FileServer,
  target: string,
): Goal {
  return {
    what: `${what}: ${key === "rate" ? "rate" : "server CPU of a GiB"} against ${theirs.name}`,
    target,
    measured({ downloads }) {
      const of = (server: FileServer) => downloads.get(rowName(group, server.name));
      const [ours, others] = [of(downleaseFiles), of(theirs)];
      if (ours === undefined || others === undefined) return undefined;
      const ratios = ratio(
        ours.map((round) => round[key]),
        others.map((round) => round[key]),
      );
      return { value: times(ratios), met: meets(ratios.median, target) };
    },
  };
}

function memoryGoal(target: string): Goal {
  return {
    what: "64 downloads of 1 GiB at a time: peak memory",
    target,
    measured({ downloads }) {
      const rounds = downloads.get(rowName("downloads-64", downleaseFiles.name));
      if (rounds === undefined) return undefined;
      const peak = Math.max(...rounds.map((round) => round.peak));
      return { value: `${peak.toFixed(0)} MiB`, met: meets(peak, target) };
    },
  };
}

function idleGoal(store: StoreName, target: string): Goal {
  return {
    what: `idle sessions in ${store}: CPU of a process with them beyond one without, of a core`,
    target,
    measured({ idle }) {
      const result = idle.get(store);
      if (result === undefined) return undefined;
      const beyond = (result.withSessions - result.without) / 10;
      return { value: `${beyond.toFixed(2)} %`, met: meets(beyond, target) };
    },
  };
}

function nameOf(driver: string): string {
  return driver === drivers.rest.name ? "REST" : "gRPC";
}

/** @param target for example `≥ 1.6` or `< 5 ms` */
export function meets(value: number, target: string): boolean {
  const [relation, bound] = target.split(" ");
  switch (relation) {
    case "≥":
      return value >= Number(bound);
    case ">":
      return value > Number(bound);
    case "≤":
      return value <= Number(bound);
    case "<":
      return value < Number(bound);
    default:
      throw new Error(`'${target}' is not a target`);
  }
}
