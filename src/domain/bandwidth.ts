/** The rules by which processes share a limit of the bandwidth: pure functions, as in `session.ts`. */

/** How long the portions of all processes together last, in milliseconds. */
export const portionMs = 200;

/** Unused bandwidth that is not lost, as time: it makes up for processes that ask a little late. */
export const slackMs = 100;

/** How far ahead bandwidth is given out at most: a limit that was low may be raised. */
export const maxAheadMs = 1_000;

/** How long a process that has asked for a portion counts among those that share the bandwidth. */
export const sharerMs = 1_000;

/** What a process asks for. */
export interface BandwidthRequest {
  /** Name of the process among those that use the store. */
  readonly worker: string;
  /** Downloads that it sends; at least 1. */
  readonly downloads: number;
  /** The limit for all processes together. */
  readonly bytesPerSecond: number;
}

/** Bytes that a process may send. */
export interface BandwidthPortion {
  readonly bytes: number;
  /** Milliseconds until they may be sent. */
  readonly startsInMs: number;
  /** The part of the limit that the process has now, above 0 and at most 1: its downloads among all. */
  readonly share: number;
}

/** A part of the limit in proportion to the downloads, so that downloads are equal, wherever they are sent from. */
export function portionOf(
  { downloads, bytesPerSecond }: BandwidthRequest,
  downloadsElsewhere: number,
): Pick<BandwidthPortion, "bytes" | "share"> {
  const share = downloads / (downloads + downloadsElsewhere);
  return { bytes: Math.max(1, Math.floor((bytesPerSecond * portionMs * share) / 1000)), share };
}

/**
 * When a portion may be sent: when all that were given out before it have been. What nobody has asked for is lost but
 * for the slack.
 *
 * @param givenUntil when the portions before it are over
 */
export function portionStart(givenUntil: number, now: number): number {
  return Math.min(Math.max(givenUntil, now - slackMs), now + maxAheadMs);
}
