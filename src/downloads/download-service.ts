import type { Admission } from "../calls/admission.ts";
import type { Call } from "../calls/call.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import type { DownloadObserver } from "../calls/download-record.ts";
import type { ProtocolHandler } from "../calls/protocol-handler.ts";
import type { Backend } from "../domain/backend.ts";
import type { ContentSource } from "../domain/content-source.ts";
import type { LinkKey } from "../domain/link-key-store.ts";
import type { LeaseTerms } from "../domain/session.ts";
import { Bandwidth } from "./bandwidth.ts";
import { type BaseUrlOptions, baseUrlFinder } from "./base-url.ts";
import { DownloadShares } from "./download-shares.ts";
import { Downloads } from "./downloads.ts";
import { downloadHandler } from "./handler.ts";
import { fixedLinkKeys, SharedLinkKeys } from "./link-keys.ts";
import { type Link, Links } from "./links.ts";
import type { Offload } from "./offload.ts";

export interface DownloadServiceOptions extends BaseUrlOptions {
  readonly backend: Pick<
    Backend,
    "sessions" | "sessionFiles" | "preparations" | "linkKeys" | "logins" | "bandwidth" | "watchEnds"
  >;
  readonly content: Pick<ContentSource, "openFile">;
  /** The first one signs, each one verifies; empty: one that the store keeps. */
  readonly linkKeys: readonly LinkKey[];
  /** Read at each use, because it may change. */
  readonly terms: Pick<LeaseTerms, "leaseMs">;
  /** How long a download may be without any progress. */
  readonly stallMs: number;
  /** Downloads at a time, at first; see `DownloadShares`. */
  readonly maxDownloads: number;
  /** Limit of all downloads of all processes together, asked for at each use; 0: unlimited. */
  readonly bytesPerSecond: () => number;
  /** How long a login session lives without being used. */
  readonly loginIdleMs: number;
  /** Whether sessions have owners that differ: false while every caller is anonymous. */
  readonly hasOwners: boolean;
  /** Whether the users file has this user; see `Session.endsWithUser`. */
  readonly isUser: (name: string) => boolean;
  /** Counts links that are being looked up among the calls in flight. */
  readonly admission: Admission;
  /** Undefined: this service sends the files. */
  readonly offload: Offload | undefined;
  /** Names and values in turn, for every answer; see `pageHeaders`. */
  readonly pageHeaders: readonly string[];
  readonly clientAddressOf: ClientAddressOf;
  readonly observe: DownloadObserver;
  /** Aborted when downloads can't be waited for any longer. */
  readonly downloadsMustEnd: AbortSignal;
}

export interface DownloadService {
  /** The absolute URI of a link, by which the caller reaches this service. Rejects with ServiceError. */
  linkFor(link: Link, call: Call): Promise<string>;
  /** Limits the downloads at a time from now on. Those that run go on. */
  setMaxDownloads(limit: number): void;
  /** Serves the links. */
  readonly handler: ProtocolHandler;
  /** Resolves when what was sent has been recorded, or soon when that is impossible. The stores may be closed then. */
  close(): Promise<void>;
}

/** Download links and the files that they lead to. */
export function createDownloadService(options: DownloadServiceOptions): DownloadService {
  const { backend, content, linkKeys, publicUrl, offload, pageHeaders, clientAddressOf, observe } = options;
  const { sessions, sessionFiles: files, preparations } = backend;
  const links = new Links(
    linkKeys.length > 0 ? fixedLinkKeys(linkKeys) : new SharedLinkKeys(backend.linkKeys),
  );
  const baseUrlOf = baseUrlFinder(options);
  const downloads = new Downloads({
    files,
    ends: backend,
    sessions,
    preparations,
    terms: options.terms,
    stallMs: options.stallMs,
  });
  const shares = new DownloadShares(options.maxDownloads);
  const { hasOwners, isUser, admission, bytesPerSecond, loginIdleMs } = options;
  const bandwidth = new Bandwidth({ store: backend.bandwidth, bytesPerSecond });
  const logins = { store: backend.logins, idleMs: loginIdleMs };
  options.downloadsMustEnd.addEventListener("abort", () => downloads.cutAll(), { once: true });
  const pathPrefix = publicUrl === undefined ? "" : new URL(publicUrl).pathname.replace(/\/$/, "");
  return {
    linkFor: async (link, call) => baseUrlOf(call) + (await links.sign(link)),
    setMaxDownloads: (limit) => shares.setLimit(limit),
    handler: downloadHandler(
      {
        ...{ links, sessions, content, preparations, files, downloads, shares, hasOwners, isUser, admission },
        ...{ bandwidth, logins },
        ...{ offload, pageHeaders, clientAddressOf, observe },
      },
      pathPrefix,
    ),
    close: () => downloads.close(),
  };
}
