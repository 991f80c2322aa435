import { randomInt } from "node:crypto";
import { Redis } from "ioredis";
import { keepAliveScript } from "../../src/stores/redis/scripts.ts";

/** ioredis as it comes. */
const client = new Redis(process.env.REDIS_URL ?? "");
client.on("error", (error: Error) => process.stderr.write(`${error.message}\n`));
await client.script("LOAD", keepAliveScript.text);

/** The same EVALSHA as the service's; gives nothing but whether the lease was renewed. */
export async function keepAlive(id: string, progress: number | undefined): Promise<boolean> {
  const reply = await client.evalsha(
    keepAliveScript.sha1,
    1,
    `dl:{${id}}`,
    "anonymous",
    300_000,
    progress ?? "",
  );
  return String(reply).startsWith("OK ");
}

/** The port to listen on, from the command line. */
export const port = Number(process.argv[2] ?? randomInt(20_000, 30_000));
