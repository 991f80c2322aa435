import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { SessionInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";

/** A session, and how it has changed while it was watched; a new object for each change. */
export interface WatchedSession {
  readonly info: SessionInfo;
  /** Whether it is gone: expired or deleted. */
  readonly gone: "expired" | "deleted" | undefined;
  /** Bytes a second, over the last reports. */
  readonly rate: number;
  /** When this page has heard of it last; milliseconds of the page's clock. */
  readonly seenAt: number;
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
  return { info, gone, rate: rateOf(info, before, now), seenAt: now, createdMs, expiresMs };
}

function msOf(time: Timestamp | undefined): number {
  return time === undefined ? 0 : timestampMs(time);
}

/** Reports come about once a second while bytes move; what is silent for longer moves nothing. */
const stillMs = 5_000;

function rateOf({ bytesSent }: SessionInfo, before: WatchedSession | undefined, now: number): number {
  if (before === undefined) return 0;
  const elapsedMs = now - before.seenAt;
  if (bytesSent === before.info.bytesSent) return elapsedMs > stillMs ? 0 : before.rate;
  return Number(bytesSent - before.info.bytesSent) / Math.max(0.2, elapsedMs / 1000);
}
