import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { FileService } from "../../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionService } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { ItemService } from "../../../gen/content/library/v1/item_pb.ts";
import { type SessionInfo, SessionInfoSchema } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { useIdentity } from "../login/identity.tsx";
import { transport } from "../shell/transport.ts";
import type { FeedView, WatchedSession } from "./session-feed.ts";

const sessions = createClient(DownloadSessionService, transport);
const files = createClient(FileService, transport);
const items = createClient(ItemService, transport);

/** A user has few sessions; of more, the oldest are shown. */
const maxShown = 200;

/** The sessions of the user, read again every other second; none of these calls renews a lease. */
export function useOwnSessions(isEnabled: boolean): FeedView {
  const { identity } = useIdentity();
  const owner = identity.status === "signed in" ? identity.user : "";
  const { data, error } = useQuery({
    queryKey: ["own sessions"],
    queryFn: () => readOwnSessions(owner),
    enabled: isEnabled,
    refetchInterval: 2_000,
  });
  return {
    sessions: data?.sessions ?? new Map(),
    isComplete: data !== undefined,
    isTruncated: data?.isTruncated ?? false,
    error: error ?? undefined,
  };
}

async function readOwnSessions(owner: string) {
  const { downloadSessionIds: ids } = await sessions.list({});
  const infos = await Promise.all(ids.slice(0, maxShown).map((id) => readSession(id, owner)));
  const found = infos.filter((info) => info !== undefined);
  const watched = found.map((info): [string, WatchedSession] => [
    info.id,
    { info, gone: undefined, rate: 0, seenAt: performance.now() },
  ]);
  return { sessions: new Map(watched), isTruncated: ids.length > maxShown };
}

/** A session as its owner sees it; undefined when it is gone by now. */
async function readSession(id: string, owner: string): Promise<SessionInfo | undefined> {
  const request = { downloadSessionId: id };
  const found = await Promise.all([sessions.get(request), files.inspect(request)]).catch(() => undefined);
  const model = found?.[0].downloadSession;
  if (found === undefined || model === undefined) return undefined;
  const item = await items
    .get({ libraryItemId: model.libraryItemId ?? "" })
    .then(({ libraryItem }) => libraryItem)
    .catch(() => undefined);
  const list = found[1].files;
  const sum = (values: readonly bigint[]) => values.reduce((total, value) => total + value, 0n);
  return create(SessionInfoSchema, {
    id,
    owner,
    libraryItemId: model.libraryItemId ?? "",
    contentVersion: model.libraryItemContentVersion ?? "",
    state: model.state!,
    progress: model.clientProgress ?? 0n,
    bytesSent: sum(
      list.filter(({ downloadEndpoint }) => downloadEndpoint).map((file) => file.bytesTransferred),
    ),
    bytesTotal: sum(list.map((file) => file.size ?? 0n)),
    ...(item?.name !== undefined && { libraryItemName: item.name }),
    ...(model.expirationTime !== undefined && { expirationTime: model.expirationTime }),
    ...(model.errorMessage !== undefined && { errorMessage: model.errorMessage.defaultMessage }),
  });
}
