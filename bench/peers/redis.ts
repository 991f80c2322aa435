import { Redis } from "ioredis";
import { noRoles } from "../../src/domain/roles.ts";
import { coalesceWrites } from "../../src/stores/redis/ioredis-internals.ts";
import { runScript } from "../../src/stores/redis/run-script.ts";
import { keepAliveScript } from "../../src/stores/redis/session-scripts.ts";
import { TimeLimit } from "../../src/stores/redis/time-limit.ts";

const [portArgument, ...flags] = process.argv.slice(2);

/** The port to listen on, from the command line. */
export const port = Number(portArgument);

export function hasFlag(name: string): boolean {
  return flags.includes(name);
}

const client = new Redis(process.env.REDIS_URL ?? "");
client.on("error", (error: Error) => process.stderr.write(`${error.message}\n`));
await client.script("LOAD", keepAliveScript.text);

const caller = { principal: "anonymous", roles: noRoles };
const leaseMs = 300_000;
const limit = new TimeLimit(800);

/** The service's EVALSHA; resolves to whether the lease was renewed. */
export const keepAlive = hasFlag("--our-redis") ? asTheService() : asItComes;

async function asItComes(id: string, progress: number | undefined): Promise<boolean> {
  const { sha1 } = keepAliveScript;
  const reply = await client.evalsha(sha1, 1, `dl:{${id}}`, caller.principal, leaseMs, progress ?? "");
  return typeof reply === "string" && reply.startsWith("OK ");
}

function asTheService(): typeof asItComes {
  coalesceWrites(client);
  return async (id, progress) => {
    const { outcome } = await runScript(client, keepAliveScript, { id, caller, leaseMs, progress }, limit);
    return outcome === "renewed";
  };
}
