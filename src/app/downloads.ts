import type { DownloadObserver } from "../calls/download-record.ts";
import type { SessionClients } from "../calls/session-clients.ts";
import type { Config } from "../config/settings.ts";
import type { SettingValues } from "../domain/settings-schema.ts";
import {
  createDownloadService,
  type DownloadService,
  type DownloadServiceOptions,
} from "../downloads/download-service.ts";
import type { Tracing } from "./tracing.ts";

interface Parts
  extends Pick<
    DownloadServiceOptions,
    | "admission"
    | "backend"
    | "content"
    | "pageHeaders"
    | "isTrustedProxy"
    | "clientAddressOf"
    | "isUser"
    | "observe"
    | "fallback"
    | "downloadsMustEnd"
  > {
  /** Read at each use, because they may change. */
  readonly values: SettingValues;
  readonly tracing: Tracing;
  readonly clients: SessionClients;
}

/** Of 10^6 bits, as links are sold. */
const bytesPerMbit = 125_000;

/** Download links and the files that they lead to, as configured. */
export function openDownloads(
  config: Config,
  { values, tracing, clients, observe, ...parts }: Parts,
): DownloadService {
  const service = createDownloadService({
    publicUrl: config.publicUrl,
    linkKeys: config.linkKeys.map(({ id, secret }) => ({ id, secret: secret.reveal() })),
    terms: values,
    stallMs: config.transferStallMs,
    maxDownloads: values.maxTransfers,
    bytesPerSecond: () => values.transferBandwidthMbps * bytesPerMbit,
    loginIdleMs: config.login.idleMs,
    hasOwners: config.auth === "required",
    offload: config.offload,
    observe: tracing.downloadObserver(withClients(observe, clients)),
    ...parts,
  });
  return { ...service, handler: tracing.downloadHandler(service.handler) };
}

/** An observer that follows the clients of sessions as well. */
function withClients(observe: DownloadObserver, clients: SessionClients): DownloadObserver {
  return {
    ...observe,
    began(sessionId, clientAddress) {
      observe.began(sessionId, clientAddress);
      clients.calledFrom(sessionId, clientAddress);
    },
    finished(record) {
      observe.finished(record);
      // Somebody else sends the file: it does not begin here.
      if (record.outcome === "offloaded" && record.sessionId !== undefined) {
        clients.calledFrom(record.sessionId, record.peer);
      }
    },
  };
}
