import type { Logger } from "pino";
import { pageHeaders as pageHeadersFor } from "../calls/page-headers.ts";
import { firstOf } from "../calls/protocol-handler.ts";
import { program } from "../config/program.ts";
import type { Config } from "../config/settings.ts";
import {
  healthHandler,
  metricsHandler,
  nothingElse,
  type Readiness,
  versionHandler,
} from "../server/admin.ts";
import { withKnownHosts } from "../server/known-hosts.ts";
import { Server } from "../server/server.ts";
import type { Exposition } from "../telemetry/metrics.ts";
import { openAdminHosts } from "./hosts.ts";
import { messageOf, StartError } from "./start-error.ts";

export interface AdminParts {
  readonly readiness: Readiness;
  readonly metrics: { expose(): Promise<Exposition> };
  readonly log: Logger;
}

export interface Admin extends AsyncDisposable {
  /** For example `http://127.0.0.1:9480`; undefined when there is none. */
  readonly url: string | undefined;
}

/** Requests at a time on one HTTP/2 connection: a scraper has one. */
const maxStreamsOfStranger = 10;

/** How long a scrape that is being answered may take to end. */
const closeMs = 1000;

/**
 * Serves health, metrics and the version on the admin address. The default address may be in use, by another instance on the same
 * machine: then the log says so, and the service does without.
 *
 * @throws StartError when an address that was configured is unavailable
 */
export async function openAdmin(config: Config, { readiness, metrics, log }: AdminParts): Promise<Admin> {
  const none: Admin = { url: undefined, async [Symbol.asyncDispose]() {} };
  if (config.adminListen === undefined) return none;
  const { host, port, isDefault } = config.adminListen;
  const pageHeaders = pageHeadersFor(false);
  const isKnownHost = openAdminHosts(config, host);
  const handlers = firstOf([
    healthHandler(readiness, pageHeaders),
    ...withKnownHosts({ isKnownHost, pageHeaders }, [
      versionHandler(program, pageHeaders),
      metricsHandler(() => metrics.expose(), pageHeaders),
      nothingElse(pageHeaders),
    ]),
  ]);
  const server = new Server({ ...handlers, host, port, limits: { maxStreamsOfStranger } });
  try {
    await server.listen();
  } catch (error) {
    const reason = messageOf(error);
    if (!isDefault)
      throw new StartError(`the admin address (--admin-listen) can't be opened: ${reason}`, { cause: error });
    log.warn(
      { reason },
      "no metrics are served: the default admin address is unavailable; set --admin-listen",
    );
    return none;
  }
  return {
    url: server.url,
    [Symbol.asyncDispose]: () => server.close(AbortSignal.timeout(closeMs)),
  };
}
