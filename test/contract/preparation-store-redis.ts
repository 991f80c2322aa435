import pino from "pino";
import { RedisConnection } from "../../src/stores/redis/connection.ts";
import { RedisPreparationStore } from "../../src/stores/redis/redis-preparation-store.ts";
import { eventually } from "../support/eventually.ts";
import type { OpenPreparations } from "./preparation-store.ts";

export function redisPreparations(url: string): OpenPreparations {
  return async () => {
    const connections = [1, 2].map(() => RedisConnection.open({ url, log: pino({ level: "silent" }) }));
    for (const connection of connections) {
      await eventually("Redis to answer", () => connection.ping().then(() => true));
    }
    const [one, other] = connections;
    return {
      store: new RedisPreparationStore(one!),
      other: new RedisPreparationStore(other!),
      async close() {
        for (const connection of connections) connection.close();
      },
    };
  };
}
