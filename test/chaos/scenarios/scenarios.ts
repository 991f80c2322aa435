import type { Scenario } from "../scenario.ts";
import { failoverScenarios } from "./failover.ts";
import { redisScenarios } from "./redis.ts";
import { replicaScenarios } from "./replicas.ts";
import { sqliteScenarios } from "./sqlite.ts";

export const scenarios: readonly Scenario[] = [
  ...replicaScenarios,
  ...redisScenarios,
  ...failoverScenarios,
  ...sqliteScenarios,
];
