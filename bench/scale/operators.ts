/** What operators do meanwhile: a watch, a walk over the pages of all sessions, a look at the census. */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type WatchSessionsRequest,
  WatchSessionsRequestSchema,
} from "../../gen/downlease/admin/v1/admin_pb.ts";
import type { Census } from "../../src/domain/census.ts";
import { replicasKey } from "../../src/stores/redis/keys.ts";
import type { Header } from "../drivers/driver.ts";
import { frameOf } from "../drivers/grpc-drivers.ts";
import { Http2Connection } from "../drivers/http2-connection.ts";
import { readMessages } from "../drivers/messages.ts";
import type { SessionCluster } from "./store.ts";

const service = "/downlease.admin.v1.AdminService";

/** A stream of WatchSessions, of which nothing is decoded but whether its snapshot is complete. */
export interface Watch {
  readonly bytes: number;
  readonly messages: number;
  /** Milliseconds from the call to the end of the snapshot. */
  readonly snapshotMs: number | undefined;
  readonly isTruncated: boolean;
  /** Why it ended. */
  readonly ended: string | undefined;
  close(): void;
}

export async function openWatch(
  port: number,
  headers: readonly Header[],
  filter: Partial<Pick<WatchSessionsRequest, "id" | "owner">> = {},
): Promise<Watch> {
  const connection = await Http2Connection.open(port, `${service}/WatchSessions`, headers);
  const startedAt = performance.now();
  const watch = {
    bytes: 0,
    messages: 0,
    snapshotMs: undefined as number | undefined,
    isTruncated: false,
    ended: undefined as string | undefined,
    close: () => connection.close(),
  };
  const stream = connection.request({
    data: readMessages((message) => {
      watch.bytes += message.length;
      watch.messages++;
      // Its fields 2 and 3 are the last ones, and there only if they are true.
      const isTruncated = message.subarray(-4).equals(truncated);
      if (isTruncated || message.subarray(-2).equals(complete)) {
        watch.snapshotMs ??= performance.now() - startedAt;
        watch.isTruncated = isTruncated;
      }
    }),
    end(status) {
      watch.ended = `status ${status}`;
    },
    fail(error) {
      watch.ended ??= error.message;
    },
  });
  const request = create(WatchSessionsRequestSchema, filter);
  connection.send(stream, frameOf(toBinary(WatchSessionsRequestSchema, request)), true);
  return watch;
}

const complete = Buffer.of(0x10, 1);
const truncated = Buffer.of(0x10, 1, 0x18, 1);

interface SessionPage {
  readonly sessions?: readonly unknown[];
  readonly nextPageToken?: string;
}

/** Reads pages of ListSessions until all are read or `isOver` says so. @returns how many sessions they had */
export async function walkPages(
  port: number,
  headers: readonly Header[],
  isOver: () => boolean,
): Promise<number> {
  let sessions = 0;
  let pageToken: string | undefined;
  do {
    const { page } = await callAdmin<{ page: SessionPage }>(port, headers, "ListSessions", {
      pageSize: 1000,
      pageToken,
    });
    sessions += page.sessions?.length ?? 0;
    pageToken = page.nextPageToken;
  } while (pageToken !== undefined && !isOver());
  return sessions;
}

/** Calls AdminService in Connect's JSON. */
async function callAdmin<T>(
  port: number,
  headers: readonly Header[],
  method: string,
  request: unknown,
): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${port}${service}/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...Object.fromEntries(headers) },
    body: JSON.stringify(request),
  });
  if (!response.ok)
    throw new Error(`${method} failed with status ${response.status}: ${await response.text()}`);
  return (await response.json()) as T;
}

/** The latest census, and the index of the replica that takes the next one. */
export async function readCensus(
  store: SessionCluster,
  ports: readonly number[],
): Promise<{ readonly census: Census | undefined; readonly taker: number }> {
  const [taker, census] = (await store.call("HMGET", replicasKey, "taker", "census")) as (string | null)[];
  return {
    census: census ? (JSON.parse(census) as Census) : undefined,
    taker: ports.findIndex((port) => taker?.endsWith(`:${port}`)),
  };
}
