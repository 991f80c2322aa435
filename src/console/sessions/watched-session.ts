import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { SessionInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";

/** A session, and how it has changed while it was watched; a new object for each change. */
export interface WatchedSession {
  readonly info: SessionInfo;
  /** Whether it is gone: expired or deleted. */
  readonly gone: "expired" | "deleted" | undefined;
  /** Bytes a second, over the last two reports of bytes. */
  readonly rate: number;
  /** When bytes were last reported to have moved; milliseconds of the page's clock. */
  readonly movedAt: number;
  /** Times of the session, in milliseconds since the epoch; 0 when unknown. Long lists are sorted by them. */
  readonly createdMs: number;
  readonly expiresMs: number;
}

/** The session as it is now. @param before as it was seen last @param now milliseconds of the page's clock */
export function nextSession(
  info: SessionInfo,
  gone: WatchedSession["gone"],
  before: WatchedSession | undefined,
  now: number,
): WatchedSession {
  const [createdMs, expiresMs] = [msOf(info.createdTime), msOf(info.expirationTime)];
  const hasMoved = before === undefined || info.bytesSent !== before.info.bytesSent;
  const movedAt = hasMoved ? now : before.movedAt;
  return { info, gone, rate: rateOf(info, before, now), movedAt, createdMs, expiresMs };
}

function msOf(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

/** Reports of bytes come every few seconds while they move; what is silent for longer moves nothing. */
const stillMs = 10_000;

/** Whether it has a rate although nothing has moved for a while. */
export function hasStopped({ rate, movedAt }: WatchedSession, now: number): boolean {
  return rate > 0 && now - movedAt > stillMs;
}

function rateOf({ bytesSent }: SessionInfo, before: WatchedSession | undefined, now: number): number {
  if (before === undefined) return 0;
  if (bytesSent === before.info.bytesSent) return hasStopped(before, now) ? 0 : before.rate;
  const elapsedMs = now - before.movedAt;
  return Number(bytesSent - before.info.bytesSent) / Math.max(0.2, elapsedMs / 1000);
}
