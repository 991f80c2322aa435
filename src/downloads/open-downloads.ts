import type { LinkKey, LinkKeyStore } from "../domain/link-key-store.ts";
import type { Call } from "../calls/call.ts";
import type { HttpHandler } from "../calls/http.ts";
import { type BaseUrlOptions, baseUrlFinder } from "./base-url.ts";
import type { DownloadParts } from "./download.ts";
import { downloadHandler } from "./handler.ts";
import { fixedLinkKeys, SharedLinkKeys } from "./link-keys.ts";
import { type Link, signedPath } from "./links.ts";
import { Downloads, type DownloadsOptions } from "./downloads.ts";

export interface DownloadServiceOptions
  extends Omit<DownloadParts, "keys" | "transfers" | "files" | "sessions">,
    BaseUrlOptions,
    DownloadsOptions {
  /** The first one signs, each one verifies; empty: one that the store keeps. */
  readonly linkKeys: readonly LinkKey[];
  readonly linkKeyStore: LinkKeyStore;
  /** Aborted when downloads can't be waited for any longer. */
  readonly shutdownSignal: AbortSignal;
}

export interface DownloadService {
  /** The absolute URI of a link, as the caller reaches this service. Rejects with ServiceError. */
  linkFor(link: Link, call: Call): Promise<string>;
  /** Serves the links. */
  handler(next: HttpHandler): HttpHandler;
  /** Resolves when what was sent has been recorded, or soon when that can't be. The store may be closed then. */
  close(): Promise<void>;
}

/** Protocol 3: download links and the files that they lead to. */
export function openDownloads(options: DownloadServiceOptions): DownloadService {
  const { linkKeys, linkKeyStore, publicUrl, shutdownSignal } = options;
  const keys = linkKeys.length > 0 ? fixedLinkKeys(linkKeys) : new SharedLinkKeys(linkKeyStore);
  const baseUrlOf = baseUrlFinder(options);
  const transfers = new Downloads(options);
  shutdownSignal.addEventListener("abort", () => transfers.stop(), { once: true });
  const pathPrefix = publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");
  return {
    linkFor: async (link, call) => baseUrlOf(call) + signedPath(link, await keys.signing()),
    handler: (next) => downloadHandler({ ...options, keys, transfers, pathPrefix, next }),
    close: () => transfers.close(),
  };
}
