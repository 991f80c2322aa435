import { randomInt } from "node:crypto";
import { connectRedis, parseRedisUrl } from "../../src/stores/redis/client.ts";
import { keepAliveScript, runScript } from "../../src/stores/redis/scripts.ts";

const client = connectRedis(parseRedisUrl(process.env.REDIS_URL ?? ""));
const caller = { principal: "anonymous", admin: false };

/** The same EVALSHA over the same driver as the service; gives nothing but whether it was renewed. */
export async function keepAlive(id: string, progress: number | undefined): Promise<boolean> {
  const { outcome } = await runScript(client, keepAliveScript, { id, caller, leaseMs: 300_000, progress });
  return outcome === "renewed";
}

/** The port to listen on, from the command line. */
export const port = Number(process.argv[2] ?? randomInt(20_000, 30_000));
