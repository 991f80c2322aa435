/** REST heartbeats of the service and its peers. */
import * as contenders from "../contenders.ts";
import { loginSession } from "../credentials.ts";
import { drivers } from "../drivers/drivers.ts";
import { cpuRateGoal, rateGoal } from "../goals.ts";
import { rowsOf, type ThroughputGroup, throughputStudy } from "../throughput.ts";

const restGroup: ThroughputGroup = {
  name: "rest",
  title: "REST: JSON over HTTP/1.1",
  description: "REST heartbeats against bare node:http, Fastify and Go, and with a login session",
  budgetSeconds: 48,
  rows: [
    ...rowsOf(drivers.rest, contenders.nodeHttp, contenders.fastify, contenders.goHttp, contenders.downlease),
    { driver: drivers.rest, contender: contenders.downleaseWithLogin, credentials: loginSession },
  ],
  goals: [
    rateGoal("REST: rate against bare node:http", "≥ 0.9", "downlease", "bare node:http"),
    rateGoal("REST: rate against Fastify", "> 1", "downlease", "Fastify"),
    cpuRateGoal(
      "REST: calls per CPU second against Go, net/http",
      "≥ 1",
      "downlease",
      contenders.goHttp.name,
    ),
    rateGoal(
      "REST: rate with a login session against without",
      "≥ 0.75",
      "downlease, login session",
      "downlease",
    ),
  ],
};

export const restStudy = throughputStudy(restGroup);
