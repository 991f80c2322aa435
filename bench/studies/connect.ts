/** Heartbeats over Connect, in JSON and, only when named, in protobuf. */
import * as contenders from "../contenders.ts";
import { drivers } from "../drivers/drivers.ts";
import { rowsOf, type ThroughputGroup, throughputStudy } from "../throughput.ts";

const connectGroups: readonly ThroughputGroup[] = [
  {
    name: "connect-json",
    title: "Connect: JSON over HTTP/1.1",
    description: "Connect heartbeats in JSON against connect-node",
    budgetSeconds: 18,
    rows: rowsOf(drivers.connectJson, contenders.connectHttp1, contenders.downlease),
    goals: [],
  },
  {
    name: "connect-proto",
    title: "Connect: protobuf over HTTP/1.1",
    description: "Connect heartbeats in protobuf against connect-node",
    budgetSeconds: 18,
    isExtra: true,
    rows: rowsOf(drivers.connectProto, contenders.connectHttp1, contenders.downlease),
    goals: [],
  },
];

export const connectStudies = connectGroups.map(throughputStudy);
