import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { FileService } from "../../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionService } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { ItemService } from "../../../gen/content/library/v1/item_pb.ts";
import { type SessionInfo, SessionInfoSchema } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { queryClient } from "../shell/queries.ts";
import { transport } from "../shell/transport.ts";
import type { FeedView } from "./session-feed.ts";
import { arrange, type ListView } from "./session-view.ts";
import { nextSession, type WatchedSession } from "./watched-session.ts";

const sessions = createClient(DownloadSessionService, transport);
const files = createClient(FileService, transport);
const items = createClient(ItemService, transport);

/** A user has few sessions; of more, the newest are shown. */
const maxShown = 100;
const readMs = 2_000;

/** Which sessions of its own a user watches. */
export interface OwnRequest {
  readonly owner: string;
  /** Only this one. */
  readonly id?: string;
}

/** Sessions of the user, read again every other second; none of these calls renews a lease. */
export function useOwnSessions(request: OwnRequest | undefined, view: ListView): FeedView {
  const { data, error } = useQuery({
    queryKey: ["own sessions", request?.id],
    queryFn: () => readOwnSessions(request!),
    enabled: request !== undefined,
    refetchInterval: readMs,
  });
  const rows = useMemo(() => arrange(data?.sessions.values() ?? [], view), [data, view]);
  return {
    rows,
    count: data?.sessions.size ?? 0,
    has: (id) => data?.sessions.has(id) ?? false,
    isComplete: data !== undefined,
    isTruncated: data?.isTruncated ?? false,
    error: error ?? undefined,
  };
}

/** As they were read last. */
let seen: ReadonlyMap<string, WatchedSession> = new Map();

async function readOwnSessions({ owner, id }: OwnRequest) {
  const ids = id === undefined ? (await sessions.list({})).downloadSessionIds : [id];
  const infos = await Promise.all(ids.slice(-maxShown).map((each) => readSession(each, owner)));
  const now = performance.now();
  const read = infos
    .filter((info) => info !== undefined)
    .map((info): [string, WatchedSession] => [info.id, nextSession(info, undefined, seen.get(info.id), now)]);
  seen = new Map(read);
  return { sessions: seen, isTruncated: ids.length > maxShown };
}

/** A session as its owner sees it; undefined when it is gone by now. */
async function readSession(id: string, owner: string): Promise<SessionInfo | undefined> {
  const request = { downloadSessionId: id };
  const [answer, inspected] = await Promise.all([
    unlessGone(sessions.get(request)),
    unlessGone(files.inspect(request)),
  ]);
  const model = answer?.downloadSession;
  if (model === undefined || inspected === undefined) return undefined;
  const item = await readItem(model.libraryItemId ?? "");
  const list = inspected.files;
  const sum = (values: readonly bigint[]) => values.reduce((total, value) => total + value, 0n);
  return create(SessionInfoSchema, {
    id,
    owner,
    libraryItemId: model.libraryItemId ?? "",
    contentVersion: model.libraryItemContentVersion ?? "",
    state: model.state!,
    progress: model.clientProgress ?? 0n,
    bytesSent: sum(list.map((file) => file.bytesTransferred)),
    bytesTotal: sum(list.map((file) => file.size ?? 0n)),
    ...(item?.name !== undefined && { libraryItemName: item.name }),
    ...(model.expirationTime !== undefined && { expirationTime: model.expirationTime }),
    ...(model.errorMessage !== undefined && { errorMessage: model.errorMessage.defaultMessage }),
  });
}

/** The item, which many sessions share; undefined when it is gone. */
function readItem(libraryItemId: string) {
  return queryClient.fetchQuery({
    queryKey: ["item", libraryItemId],
    queryFn: async () => (await unlessGone(items.get({ libraryItemId })))?.libraryItem ?? null,
    staleTime: 60_000,
  });
}

async function unlessGone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return undefined;
    throw error;
  }
}
