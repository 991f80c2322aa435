import type { LinkKey, LinkKeyStore } from "../domain/link-key-store.ts";
import type { Call } from "../operations/call.ts";
import type { HttpHandler } from "../operations/http.ts";
import { type BaseUrlOptions, baseUrlFinder } from "./base-url.ts";
import type { DownloadParts } from "./download.ts";
import { transferHandler } from "./handler.ts";
import { fixedLinkKeys, SharedLinkKeys } from "./link-keys.ts";
import { type Link, signedPath } from "./links.ts";
import { Transfers, type TransfersOptions } from "./transfers.ts";

export interface TransferDoorOptions
  extends Omit<DownloadParts, "keys" | "transfers" | "files" | "sessions">,
    BaseUrlOptions,
    TransfersOptions {
  /** The first one signs, each one verifies; empty: one that the store keeps. */
  readonly linkKeys: readonly LinkKey[];
  readonly linkKeyStore: LinkKeyStore;
  /** Aborted when downloads can't be waited for any longer. */
  readonly shutdownSignal: AbortSignal;
}

export interface TransferDoor {
  /** The absolute URI of a link, as the caller reaches this service. Rejects with ServiceError. */
  linkFor(link: Link, call: Call): Promise<string>;
  /** Serves the links. */
  handler(next: HttpHandler): HttpHandler;
  /** Resolves when what was sent has been recorded, or soon when that can't be. The store may be closed then. */
  close(): Promise<void>;
}

/** Door 3: download links and the files that they lead to. */
export function openTransferDoor(options: TransferDoorOptions): TransferDoor {
  const { linkKeys, linkKeyStore, publicUrl, shutdownSignal } = options;
  const keys = linkKeys.length > 0 ? fixedLinkKeys(linkKeys) : new SharedLinkKeys(linkKeyStore);
  const baseUrlOf = baseUrlFinder(options);
  const transfers = new Transfers(options);
  shutdownSignal.addEventListener("abort", () => transfers.stop(), { once: true });
  const pathPrefix = publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");
  return {
    linkFor: async (link, call) => baseUrlOf(call) + signedPath(link, await keys.signing()),
    handler: (next) => transferHandler({ ...options, keys, transfers, pathPrefix, next }),
    close: () => transfers.close(),
  };
}
