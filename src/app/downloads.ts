import type { Config } from "../config/settings.ts";
import type { Settings } from "../domain/settings.ts";
import {
  createDownloadService,
  type DownloadService,
  type DownloadServiceOptions,
} from "../downloads/download-service.ts";

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
    | "callsMustEnd"
  > {
  readonly settings: Settings;
}

/** Of 10^6 bits, as links are sold. */
const bytesPerMbit = 125_000;

/** Download links and the files that they lead to, as configured. */
export function openDownloads(config: Config, { settings, ...parts }: Parts): DownloadService {
  return createDownloadService({
    publicUrl: config.publicUrl,
    linkKeys: config.linkKeys.map(({ id, secret }) => ({ id, secret: secret.reveal() })),
    leaseMs: config.leaseMs,
    stallMs: config.transferStallMs,
    maxDownloads: config.maxTransfers,
    bytesPerSecond: () => settings.values.transferBandwidthMbps * bytesPerMbit,
    loginIdleMs: config.login.idleMs,
    hasOwners: config.auth === "required",
    offloadPrefix: config.offloadPrefix,
    ...parts,
  });
}
