import { randomBytes } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Clocks } from "./clock.ts";

/** The clocks when a process of the file was alive, as a row. */
export interface SignOfLife {
  readonly boot: string;
  readonly monotonic: number;
  readonly offset: number;
  readonly wall: number;
}

/** A shorter silence is none: signs of life are a second apart, and a busy process may be late. */
const silenceMs = 5_000;

/** More than the creation of a session writes: a few pages of four tables and indexes. */
const paddingBytes = 16_384;

/** How a file's clock goes on. */
export interface Continuation {
  /** The file's clock minus the monotonic clock. */
  readonly offsetMs: number;
  /** When a process was last alive, by the file's clock. */
  readonly aliveAt: number;
  /** How long no process was alive before this moment; 0 if one still is. */
  readonly downMs: number;
}

/**
 * The file's clock also runs while no process does. Within one boot of the machine that is exact; over a restart of the
 * machine the time of day says how long it was, but never less than nothing.
 *
 * @param last undefined for a file that has no sign of life yet
 */
export function continueFrom(last: SignOfLife | undefined, clocks: Clocks): Continuation {
  const monotonic = clocks.monotonicMs();
  if (last === undefined) {
    const wall = clocks.exactWallMs();
    return { offsetMs: wall - monotonic, aliveAt: wall, downMs: 0 };
  }
  // A machine that goes on from a snapshot may be earlier in the same boot.
  const isSameClock = last.boot === clocks.boot && last.monotonic <= monotonic;
  const silentMs = isSameClock ? monotonic - last.monotonic : Math.max(0, clocks.exactWallMs() - last.wall);
  const aliveAt = last.monotonic + last.offset;
  return {
    offsetMs: isSameClock ? last.offset : aliveAt + silentMs - monotonic,
    aliveAt,
    downMs: silentMs < silenceMs ? 0 : silentMs,
  };
}

export interface Resumption extends Continuation {
  /** Sessions that lived when the last process ended, and by how much their leases were prolonged. */
  readonly sessions: number;
  readonly prolongedMs: number;
}

/**
 * Continues the file's clock, gives back to leases the time that the service was down, and signs. Run in a transaction
 * that writes: of several processes that start together the first one finds the service down.
 *
 * @param maxDowntimeMs at most so much is given back
 */
export function resume(db: DatabaseSync, clocks: Clocks, maxDowntimeMs: number): Resumption {
  const last = db.prepare("SELECT boot, monotonic, offset, wall FROM sign_of_life").get();
  const continuation = continueFrom(last as SignOfLife | undefined, clocks);
  const { aliveAt, downMs, offsetMs } = continuation;
  const prolongedMs = Math.floor(Math.min(downMs, maxDowntimeMs));
  const sessions =
    prolongedMs === 0
      ? 0
      : db
          .prepare("UPDATE session SET expires_at = expires_at + :prolongedMs WHERE expires_at > :aliveAt")
          .run({ prolongedMs, aliveAt }).changes;
  prepareSign(db, clocks, offsetMs)(false);
  return { ...continuation, prolongedMs, sessions: Number(sessions) };
}

/** Makes the function that writes a sign of life, or one as large as the creation of a session. */
export function prepareSign(db: DatabaseSync, clocks: Clocks, offset: number): (isLarge: boolean) => void {
  const write: StatementSync = db.prepare(`
    INSERT OR REPLACE INTO sign_of_life (only, boot, monotonic, offset, wall, padding)
    VALUES (1, :boot, :monotonic, :offset, :wall, :padding)`);
  return (isLarge) => {
    write.run({
      boot: clocks.boot,
      monotonic: clocks.monotonicMs(),
      offset,
      wall: clocks.exactWallMs(),
      // Random: SQLite does not write pages that stay the same.
      padding: isLarge ? randomBytes(paddingBytes) : null,
    });
  };
}
