import type { Logger } from "pino";
import type { Config } from "../config/settings.ts";
import type { Server } from "../server/server.ts";
import { openTls } from "./parts.ts";
import { messageOf } from "./start-error.ts";

export interface ReloadedParts {
  readonly server: Server;
  readonly authentication: { reload(): Promise<void> };
  readonly audit: { reopen(): Promise<void> };
  readonly log: Logger;
}

/**
 * Makes the function that reads files again: those of TLS, the users and the keys of tokens, and opens the audit log again.
 * Nothing is cut, and what can't be used is logged and stays as it was. Calls run one after the other.
 */
export function reloader(config: Config, parts: ReloadedParts): () => Promise<void> {
  let last = Promise.resolve();
  let waiting = 0;
  const reload = async () => {
    waiting--;
    const { server, authentication, audit, log } = parts;
    log.info("reading files again");
    const renewTls = async () => {
      try {
        const tls = await openTls(config);
        if (tls !== undefined) server.renewTls(tls);
      } catch (error) {
        log.error({ reason: messageOf(error) }, "keeping the previous certificates");
      }
    };
    await Promise.all([renewTls(), authentication.reload(), audit.reopen()]);
    log.info("files were read again");
  };
  return () => {
    // The one that waits has not looked yet.
    if (waiting === 0) {
      waiting++;
      last = last.then(reload);
    }
    return last;
  };
}
