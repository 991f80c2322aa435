import { ShareHolders } from "../calls/share-holders.ts";
import { type ErrorMessageId, ServiceError } from "../domain/errors.ts";

/** Who has a share of the downloads at a time. */
export interface DownloadHolders {
  readonly sessionId: string;
  /** Principal that created the session; undefined while every caller is anonymous. */
  readonly owner: string | undefined;
  /** Network of the client, see `networkOf`; empty when it is unknown. */
  readonly network: string;
}

interface Kind {
  readonly holders: ShareHolders;
  readonly messageId: ErrorMessageId;
  keyOf(download: DownloadHolders): string | undefined;
}

/** Retry-After, in seconds: a download takes its time. */
const pauseSeconds = 5;

/**
 * Distributes the downloads at a time by session, by principal and by network. Alone, a session may have half of the
 * limit, a principal two thirds and a network four fifths, so that no session takes all places of its owner, and no
 * principal all places of a network. The last fifth is reserved for networks without a download.
 */
export class DownloadShares {
  /** From the smallest share to the largest. */
  readonly #kinds: readonly Kind[];

  /** @param limit downloads at a time */
  constructor(limit: number) {
    this.#kinds = [
      {
        holders: new ShareHolders(limit, 1 / 2),
        messageId: "downlease.download.session_share",
        keyOf: ({ sessionId }) => sessionId,
      },
      {
        holders: new ShareHolders(limit, 2 / 3),
        messageId: "downlease.download.principal_share",
        keyOf: ({ owner }) => owner,
      },
      {
        holders: new ShareHolders(limit),
        messageId: "downlease.download.address_share",
        keyOf: ({ network }) => network,
      },
    ];
  }

  /** Takes a place, until `leave` is called for the same holders. @throws ServiceError that says whose share is used up */
  enter(download: DownloadHolders): void {
    for (const [index, kind] of this.#kinds.entries()) {
      const key = kind.keyOf(download);
      if (key === undefined || kind.holders.enter(key)) continue;
      for (const entered of this.#kinds.slice(0, index)) leaveKind(entered, download);
      const isOwnShare = kind.holders.hasItsShare(key);
      throw new ServiceError(isOwnShare ? kind.messageId : "downlease.download.overloaded", [
        String(pauseSeconds),
      ]);
    }
  }

  /** Counts from now on; what is above it stays until it ends. */
  setLimit(limit: number): void {
    for (const { holders } of this.#kinds) holders.setLimit(limit);
  }

  leave(download: DownloadHolders): void {
    for (const kind of this.#kinds) leaveKind(kind, download);
  }

  /** Number of holders that are kept, of all kinds. */
  get size(): number {
    return this.#kinds.reduce((sum, { holders }) => sum + holders.size, 0);
  }
}

function leaveKind({ holders, keyOf }: Kind, download: DownloadHolders): void {
  const key = keyOf(download);
  if (key !== undefined) holders.leave(key);
}
