import { type DescMessage, type JsonObject, type JsonValue, ScalarType, toJson } from "@bufbuild/protobuf";
import {
  type Overview,
  OverviewSchema,
  type ReplicaInfo,
  type StoreInfo,
  type TopEntry,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { momentOf } from "../../client/numbers.ts";
import { required } from "../answers.ts";
import type { CommonFlags, Task } from "../run.ts";
import { polled, watch } from "../sessions/watch.ts";
import { bytes, duration, table } from "../text.ts";

interface OverviewFlags extends CommonFlags {
  readonly watch?: boolean;
  readonly interval: number;
}

export async function overview(task: Task<OverviewFlags>): Promise<void> {
  const { output, flags, server, call } = task;
  const read = async () => required((await server.admin.getOverview({}, call)).overview, "overview");
  if (!flags.watch) {
    const value = await read();
    if (output.isJson) output.json(overviewJson(value));
    else output.lines(overviewPage(value, output.width));
    return;
  }
  await watch(task, {
    values: () => polled(task, read),
    frame: (value) => overviewPage(value, output.width),
    entries: (value) => [{ key: "overview", line: summary(value), json: overviewJson(value) }],
    gone: () => undefined,
  });
}

/** With the member names of the server, and numbers as numbers. */
function overviewJson(value: Overview) {
  const json = toJson(OverviewSchema, value, { useProtoFieldName: true, alwaysEmitImplicit: true });
  return withNumbers(OverviewSchema, json as JsonObject);
}

/** The JSON of Protobuf has integers of 64 bits as texts. */
function withNumbers({ fields }: DescMessage, json: JsonObject): JsonObject {
  const numbers = fields.filter(({ scalar }) => scalar === ScalarType.INT64).map(({ name }) => name);
  const messages = new Map(fields.map(({ name, message }) => [name, message]));
  return Object.fromEntries(
    Object.entries(json).map(([name, value]) => {
      const inner = messages.get(name);
      const convert = (each: JsonValue) =>
        inner !== undefined && typeof each === "object" ? withNumbers(inner, each as JsonObject) : each;
      if (numbers.includes(name)) return [name, Number(value)];
      return [name, Array.isArray(value) ? value.map(convert) : convert(value)];
    }),
  );
}

function overviewPage(value: Overview, width: number | undefined): string[] {
  const { replicas, topItems, topPrincipals, problems } = value;
  return [
    ...(problems.length === 0
      ? ["No problems."]
      : problems.map((problem, index) => `${index === 0 ? "PROBLEMS  " : "          "}${problem}`)),
    "",
    ...facts(value).map(([name, fact]) => `${name.padEnd(10)}  ${fact}`),
    ...replicaTable(replicas, value, width),
    ...topTable("ITEM", topItems, width),
    ...topTable("PRINCIPAL", topPrincipals, width),
  ];
}

function facts(value: Overview): [string, string][] {
  const { activeSessions, canceledSessions, failedSessions, expiringSessions, countedTime } = value;
  const agoMs = age(value.time, countedTime);
  const counted =
    agoMs === undefined
      ? "not counted yet"
      : `${activeSessions} active (${expiringSessions} expire within a minute), ${canceledSessions} canceled, ` +
        `${failedSessions} failed; counted ${duration(agoMs)} ago`;
  const { grantedPerSecond, renewedPerSecond, expiredPerSecond, downloads, bytesPerSecond } = value;
  return [
    ["sessions", counted],
    [
      "leases/s",
      `${rate(grantedPerSecond)} granted, ${rate(renewedPerSecond)} renewed, ${rate(expiredPerSecond)} expired`,
    ],
    ["downloads", `${downloads} running, ${bytes(bytesPerSecond)}/s`],
    ["store", storeText(value.store)],
  ];
}

function storeText(store: StoreInfo | undefined): string {
  if (!store?.isReachable) return "does not respond";
  const { kind, isWritable, usedBytes, maxBytes } = store;
  const used = usedBytes === undefined ? [] : [bytes(Number(usedBytes))];
  const max = maxBytes === undefined ? [] : [`of ${bytes(Number(maxBytes))}`];
  return [`${kind}, ${isWritable ? "writable" : "not writable"}`, [...used, ...max].join(" ")]
    .filter((text) => text !== "")
    .join(", ");
}

function replicaTable(replicas: readonly ReplicaInfo[], { time }: Overview, width: number | undefined) {
  const columns = [
    { title: "REPLICA", shrinks: true },
    { title: "ADDRESS", shrinks: true, drop: 5 },
    { title: "VERSION", drop: 3 },
    { title: "STATE" },
    { title: "UP", right: true, drop: 4 },
    { title: "CALLS/S", right: true, drop: 1 },
    { title: "DOWNLOADS", right: true, drop: 2 },
    { title: "BYTES/S", right: true, drop: 2 },
    { title: "CONNECTIONS", right: true, drop: 6 },
  ];
  const rows = replicas.map((replica) => [
    replica.name,
    replica.address,
    replica.version,
    stateOf(replica, age(time, replica.lastSeenTime) ?? 0),
    duration(age(time, replica.startTime) ?? 0),
    rate(replica.callsPerSecond),
    `${replica.downloads}`,
    bytes(replica.bytesPerSecond),
    `${replica.connections}`,
  ]);
  return ["", ...table(columns, rows, width)];
}

/** A replica reports each second. */
function stateOf({ isReady }: ReplicaInfo, silentMs: number): string {
  if (silentMs > 4_000) return `silent for ${duration(silentMs)}`;
  return isReady ? "ready" : "not ready";
}

function topTable(title: string, entries: readonly TopEntry[], width: number | undefined): string[] {
  if (entries.length === 0) return [];
  const rows = entries.map(({ id, name, sessions }) => [
    name === undefined ? id : `${name} (${id})`,
    `${sessions}`,
  ]);
  return [
    "",
    ...table(
      [
        { title, shrinks: true },
        { title: "SESSIONS", right: true },
      ],
      rows,
      width,
    ),
  ];
}

/** One line, for outputs that are no terminal. */
function summary(value: Overview): string {
  const { problems, replicas } = value;
  const number = `${replicas.length} ${replicas.length === 1 ? "replica" : "replicas"}`;
  const parts = [number, ...facts(value).map(([name, fact]) => `${name}: ${fact}`)];
  return [...parts, ...problems].join("; ");
}

function age(now: Overview["time"], time: Overview["time"]): number | undefined {
  const [end, begin] = [momentOf(now), momentOf(time)];
  return end === undefined || begin === undefined ? undefined : end.getTime() - begin.getTime();
}

function rate(value: number): string {
  return value < 10 ? `${Math.round(value * 10) / 10}` : `${Math.round(value)}`;
}
