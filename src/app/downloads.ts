import { addressMatcher } from "../config/addresses.ts";
import type { Config } from "../config/settings.ts";
import {
  type DownloadService,
  type DownloadServiceOptions,
  openDownloads as open,
} from "../downloads/open.ts";

type Parts = Pick<
  DownloadServiceOptions,
  "backend" | "content" | "pageHeaders" | "observe" | "fallback" | "callsMustEnd"
>;

/** Download links and the files that they lead to, as configured. */
export function openDownloads(config: Config, parts: Parts): DownloadService {
  return open({
    publicUrl: config.publicUrl,
    isTrustedProxy: addressMatcher(config.trustedProxies),
    linkKeys: config.linkKeys.map(({ id, secret }) => ({ id, secret: secret.reveal() })),
    leaseMs: config.leaseMs,
    stallMs: config.transferStallMs,
    maxDownloads: config.maxTransfers,
    offloadPrefix: config.offloadPrefix,
    ...parts,
  });
}
