/** The bare peers with the service's connection to Redis, so that its share can be seen; only when named. */
import * as contenders from "../contenders.ts";
import { drivers } from "../drivers/drivers.ts";
import { rowsOf, type ThroughputGroup, throughputStudy } from "../throughput.ts";

const ourRedisGroups: readonly ThroughputGroup[] = [
  {
    name: "our-redis-rest",
    title: "REST: the share of our Redis connection",
    description: "bare node:http with ioredis' defaults and with our Redis connection",
    budgetSeconds: 18,
    isExtra: true,
    rows: rowsOf(drivers.rest, contenders.nodeHttp, contenders.nodeHttpOurRedis),
    goals: [],
  },
  {
    name: "our-redis-grpc",
    title: "gRPC: the share of our Redis connection",
    description: "bare node:http2 with ioredis' defaults and with our Redis connection",
    budgetSeconds: 18,
    isExtra: true,
    rows: rowsOf(drivers.grpc, contenders.nodeHttp2, contenders.nodeHttp2OurRedis),
    goals: [],
  },
];

export const ourRedisStudies = ourRedisGroups.map(throughputStudy);
