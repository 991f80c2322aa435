import type { FailureMessageId } from "../domain/errors.ts";
import type { VersionedFile } from "../domain/preparation.ts";

/** Observes the preparations of this process, for metrics and the log. */
export interface PreparationObserver {
  /** A job has begun to read its file. */
  began(): void;
  read(bytes: number): void;
  /** A job that had begun has ended. */
  ended(end: PreparationEnd): void;
}

export interface PreparationEnd {
  readonly file: VersionedFile;
  /**
   * `failed`: something is wrong with the file. `lost`: another process has the job now. `interrupted`: the job can't go
   * on in this process, for reasons other than the file.
   */
  readonly outcome: "prepared" | "failed" | "lost" | "interrupted";
  readonly durationMs: number;
  /** The message that callers get for the file; only when it failed. */
  readonly messageId?: FailureMessageId;
  /** The error below, for the log only. */
  readonly cause?: unknown;
}
