import type { Logger } from "pino";
import type { Program } from "../cluster/worker.ts";
import type { Config } from "../config/settings.ts";
import { createLogger } from "../telemetry/log.ts";
import { orStartError } from "./start-error.ts";

export type { Logger };

/** The log of this process; of a worker, every line has its number. @throws StartError when its format is unavailable */
export async function openLog({ logLevel, logFormat }: Config, program?: Program): Promise<Logger> {
  const log = await orStartError(() => createLogger({ level: logLevel, format: logFormat }));
  return program === undefined ? log : log.child({ worker: program.worker });
}

/** What is served from where, for the line that says that the service is up. */
export function summaryOf({ redisUrl, sqlitePath, content }: Config) {
  const sessions = redisUrl === undefined ? `SQLite ${sqlitePath}` : `Redis ${redisUrl}`;
  if (content.kind === "directory") return { sessions, contentRoot: content.root };
  return { sessions, content: `s3://${content.bucket}/${content.prefix}` };
}
