const dayMs = 24 * 60 * 60 * 1_000;

/** How long a result is remembered after it was last asked for. */
export const resultKeptMs = 30 * dayMs;

/** A result that is asked for is remembered on when it has this much less to go: looks are seldom to write. */
export const resultRenewedMs = dayMs;

/** How long it is remembered that a file could not be made ready. */
export const failureKeptMs = 60_000;
