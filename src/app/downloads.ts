import type { Config } from "../config/settings.ts";
import {
  createDownloadService,
  type DownloadService,
  type DownloadServiceOptions,
} from "../downloads/download-service.ts";

type Parts = Pick<
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
>;

/** Download links and the files that they lead to, as configured. */
export function openDownloads(config: Config, parts: Parts): DownloadService {
  return createDownloadService({
    publicUrl: config.publicUrl,
    linkKeys: config.linkKeys.map(({ id, secret }) => ({ id, secret: secret.reveal() })),
    leaseMs: config.leaseMs,
    stallMs: config.transferStallMs,
    maxDownloads: config.maxTransfers,
    hasOwners: config.auth === "required",
    offloadPrefix: config.offloadPrefix,
    ...parts,
  });
}
