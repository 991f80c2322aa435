import { type ConfigSources, loadConfig } from "../config/load.ts";
import { backUpBackend, checkBackendUrl } from "../stores/open.ts";
import { backendUrl } from "./parts.ts";

/** A backup was not made; the message is for the operator. */
export class BackupError extends Error {
  override readonly name = "BackupError";
  /** Whether the store has means of its own. */
  readonly isElsewhere: boolean;

  constructor(message: string, isElsewhere: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isElsewhere = isElsewhere;
  }
}

/**
 * Copies the store of a configuration to a file that does not exist yet.
 *
 * @param onProgress called with the part that is copied, from 0 to 1
 * @throws ConfigError, BackupError
 */
export async function backUpStore(
  sources: ConfigSources,
  target: string,
  onProgress: (part: number) => void,
): Promise<void> {
  // Content does not matter here, and may be left out.
  const config = loadConfig({ ...sources, defaultContentRoot: ".", checkRedisUrl: checkBackendUrl });
  let isDone: boolean;
  try {
    isDone = await backUpBackend(backendUrl(config), target, onProgress);
  } catch (error) {
    throw new BackupError((error as Error).message, false, { cause: error });
  }
  if (isDone) return;
  throw new BackupError(
    "sessions are kept in Redis, which copies itself: run redis-cli BGSAVE and keep its dump.rdb, or its append-only files (docs/operations.md)",
    true,
  );
}
