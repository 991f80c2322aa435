import type { Backend, EndsSubscription } from "../../src/domain/backend.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { Refusal, Renewal } from "../../src/domain/session.ts";
import type { SessionFileStore } from "../../src/domain/session-file-store.ts";

type Recorded = ReadonlyMap<string, number>;

/** Answers records of downloads as a test decides, and announces ends on command. */
export class MemorySessionFiles implements Pick<SessionFileStore, "recordSent">, Pick<Backend, "watchEnds"> {
  /** The records that it got, in order. */
  readonly records: { readonly sessionId: string; readonly sent: Recorded }[] = [];
  isDown = false;
  isReliable = true;
  /** The end of every renewed lease; a second from then on when unset. */
  expiresAt: number | undefined;
  /** Sessions that have ended. */
  readonly gone = new Set<string>();
  #ended: (sessionId: string) => void = () => {};
  #established: () => void = () => {};

  async recordSent(sessionId: string, sent: Recorded): Promise<Renewal | Refusal> {
    if (this.isDown) throw new ServiceError("downlease.store.unavailable");
    this.records.push({ sessionId, sent: new Map(sent) });
    if (this.gone.has(sessionId)) return { outcome: "not_found" };
    return { outcome: "renewed", expiresAt: this.expiresAt ?? Date.now() + 1000, progress: 0 };
  }

  watchEnds(ended: (sessionId: string) => void, established: () => void = () => {}): EndsSubscription {
    this.#ended = ended;
    this.#established = established;
    const files = this;
    return {
      get isReliable() {
        return files.isReliable;
      },
      stop: () => {
        this.#ended = () => {};
        this.#established = () => {};
      },
    };
  }

  announceEnd(sessionId: string): void {
    this.#ended(sessionId);
  }

  /** As after a pause in which ends were not announced. */
  establish(): void {
    this.#established();
  }

  /** Bytes that were recorded for a file. */
  bytesOf(sessionId: string, fileName: string): number {
    return this.records
      .filter((record) => record.sessionId === sessionId)
      .reduce((sum, { sent }) => sum + (sent.get(fileName) ?? 0), 0);
  }
}
