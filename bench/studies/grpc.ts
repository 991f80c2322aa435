/** gRPC heartbeats of the service and its peers. */
import * as contenders from "../contenders.ts";
import { loginSession } from "../credentials.ts";
import { drivers } from "../drivers/drivers.ts";
import { cpuGoal, cpuRateGoal, rateGoal } from "../goals.ts";
import { rowsOf, type ThroughputGroup, throughputStudy } from "../throughput.ts";

const unary = contenders.downlease.name;
/** Reference for the cost of a second worker: one process with the callers that each of two has. */
const halfTheCallers = "downlease, half the callers";
const streamed = "downlease, streamed";
const batches = "downlease, batches of 100";

const grpcGroup: ThroughputGroup = {
  name: "grpc",
  title: "gRPC",
  description:
    "gRPC heartbeats against bare node:http2, grpc-js, connect-node and Go; workers, streams and batches",
  budgetSeconds: 82,
  rows: [
    ...rowsOf(
      drivers.grpc,
      contenders.nodeHttp2,
      contenders.grpcJs,
      contenders.connectHttp2,
      contenders.goGrpc,
      contenders.downlease,
    ),
    { driver: drivers.grpc, contender: contenders.downleaseWithTwoWorkers, peer: halfTheCallers },
    { driver: drivers.grpc, contender: contenders.downlease, label: halfTheCallers, callersShare: 0.5 },
    { driver: drivers.grpc, contender: contenders.downleaseWithLogin, credentials: loginSession },
    { driver: drivers.grpcStream, contender: contenders.downlease, label: streamed },
    // Few callers: each batch holds many heartbeats.
    { driver: drivers.grpcBatch, contender: contenders.downlease, label: batches, callers: 8 },
  ],
  goals: [
    rateGoal("gRPC: rate against grpc-js", "≥ 1.6", unary, "grpc-js"),
    rateGoal("gRPC: rate against connect-node", "≥ 6", unary, "connect-node"),
    rateGoal("gRPC: rate against bare node:http2", "≥ 0.85", unary, "bare node:http2"),
    cpuRateGoal("gRPC: calls per CPU second against Go, grpc-go", "≥ 1.1", unary, contenders.goGrpc.name),
    rateGoal("gRPC: rate with a login session against without", "≥ 0.75", "downlease, login session", unary),
    cpuGoal("server CPU of a streamed heartbeat against unary", "≤ 0.333", streamed, unary),
    cpuGoal("server CPU of a heartbeat in a batch of 100 against unary", "≤ 0.25", batches, unary),
    cpuGoal(
      "server CPU of two workers against one, as many callers for each",
      "≤ 1.1",
      contenders.downleaseWithTwoWorkers.name,
      halfTheCallers,
    ),
  ],
};

export const grpcStudy = throughputStudy(grpcGroup);
