import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type SessionInfo, SessionInfoSchema } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import type { ContentSource } from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import type { LeaseTerms } from "../../domain/session.ts";
import type { SessionRecord } from "../../domain/session-record-store.ts";
import { modelStates } from "../download-session.ts";

export interface SessionInfoParts {
  readonly content: Pick<ContentSource, "item">;
  /** Read at each use: the length of a lease may change. */
  readonly leaseTerms: Pick<LeaseTerms, "leaseMs">;
}

interface ItemFacts {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
}

/** How long what is known of an item counts, in milliseconds: a watcher asks for the same ones again and again. */
const keptMs = 5_000;
const maxItems = 10_000;
/** Look-ups at the same time. */
const maxParallel = 16;

/** Describes sessions for operators. The look-up of an item is shared by all of its sessions. */
export class SessionInfos {
  readonly #content: Pick<ContentSource, "item">;
  readonly #leaseTerms: Pick<LeaseTerms, "leaseMs">;
  /** By item id; undefined for an item that does not exist or can't be read. */
  #items = new Map<string, { readonly facts: ItemFacts | undefined; readonly until: number }>();

  constructor({ content, leaseTerms }: SessionInfoParts) {
    this.#content = content;
    this.#leaseTerms = leaseTerms;
  }

  async of(sessions: readonly SessionRecord[]): Promise<SessionInfo[]> {
    const now = performance.now();
    const missing = [...new Set(sessions.map(({ libraryItemId }) => libraryItemId))].filter(
      (id) => (this.#items.get(id)?.until ?? 0) <= now,
    );
    for (let start = 0; start < missing.length; start += maxParallel) {
      await Promise.all(missing.slice(start, start + maxParallel).map((id) => this.#lookUp(id)));
    }
    return sessions.map((session) => this.#infoOf(session));
  }

  async #lookUp(id: string): Promise<void> {
    const facts = await this.#content.item(id).catch((error: unknown) => {
      // Operators see the sessions also while the content can't be read.
      if (error instanceof ServiceError) return undefined;
      throw error;
    });
    if (this.#items.size >= maxItems) this.#items.clear();
    this.#items.set(id, { facts, until: performance.now() + keptMs });
  }

  #infoOf(session: SessionRecord): SessionInfo {
    const { id, owner, libraryItemId, contentVersion, state, progress, bytesSent, expiresAt } = session;
    const { createdAt, clientAddress, errorMessage } = session;
    const item = this.#items.get(libraryItemId)?.facts;
    return create(SessionInfoSchema, {
      id,
      owner,
      libraryItemId,
      contentVersion,
      state: modelStates[state],
      progress: BigInt(progress),
      bytesSent: BigInt(bytesSent),
      expirationTime: timestampFromMs(expiresAt),
      ...(item !== undefined && { libraryItemName: item.name, bytesTotal: BigInt(item.size) }),
      ...(createdAt !== undefined && { createdTime: timestampFromMs(createdAt) }),
      ...(state === "ACTIVE" && { lastRenewedTime: timestampFromMs(this.#renewedAt(session)) }),
      ...(clientAddress !== undefined && { clientAddress }),
      ...(errorMessage !== undefined && { errorMessage }),
    } satisfies MessageInitShape<typeof SessionInfoSchema>);
  }

  /** By the length of a lease now; the lease may have been granted with another one. */
  #renewedAt({ expiresAt, createdAt = 0 }: SessionRecord): number {
    return Math.max(createdAt, expiresAt - this.#leaseTerms.leaseMs);
  }
}
