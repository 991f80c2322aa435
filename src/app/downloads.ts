import type { Config } from "../config/settings.ts";
import type { SettingValues } from "../domain/settings-schema.ts";
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
    | "observe"
    | "fallback"
    | "callsMustEnd"
  > {
  /** Read at each use, because they may change. */
  readonly values: SettingValues;
}

/** Of 10^6 bits, as links are sold. */
const bytesPerMbit = 125_000;

/** Download links and the files that they lead to, as configured. */
export function openDownloads(config: Config, { values, ...parts }: Parts): DownloadService {
  return createDownloadService({
    publicUrl: config.publicUrl,
    linkKeys: config.linkKeys.map(({ id, secret }) => ({ id, secret: secret.reveal() })),
    terms: values,
    stallMs: config.transferStallMs,
    maxDownloads: values.maxTransfers,
    bytesPerSecond: () => values.transferBandwidthMbps * bytesPerMbit,
    loginIdleMs: config.login.idleMs,
    hasOwners: config.auth === "required",
    offloadPrefix: config.offloadPrefix,
    ...parts,
  });
}
