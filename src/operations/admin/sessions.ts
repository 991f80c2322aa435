import { create } from "@bufbuild/protobuf";
import { DownloadSessionModel_State as State } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import {
  AdminService,
  Ending,
  type EndSessionsRequest,
  type EndSessionsResponse,
  EndSessionsResponseSchema,
  ListSessionsResponseSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import type { AuditDetails } from "../../calls/audit.ts";
import { type Operation, operation } from "../../calls/pipeline.ts";
import { ServiceError } from "../../domain/errors.ts";
import { cursorIn, pageToken } from "../../domain/page-token.ts";
import type { SessionRecordStore } from "../../domain/session-record-store.ts";
import type { SessionStore } from "../../domain/session-store.ts";
import { turnFor } from "../long-lists.ts";
import { maxIds, SessionEndings } from "./end-sessions.ts";
import { matcherOf, sessionFilter } from "./session-filter.ts";
import type { SessionInfos } from "./session-info.ts";

const rpc = AdminService.method;

const maxPageSize = 1_000;
const usualPageSize = 100;

export interface AdminSessionParts {
  readonly sessions: Pick<SessionStore, "finish" | "delete">;
  readonly records: Pick<SessionRecordStore, "page" | "find">;
  readonly infos: SessionInfos;
}

/** The operations of `downlease.admin` about the download sessions of everybody. */
export function adminSessionOperations({ sessions, records, infos }: AdminSessionParts): Operation[] {
  const endings = new SessionEndings({ sessions, records });
  return [
    operation({
      method: rpc.listSessions,
      isAdministration: true,
      async run(request) {
        const filter = sessionFilter(request);
        const maxSessions = pageSizeOf(request.pageSize);
        const { pageToken: token } = request;
        const page = await records.page({
          cursor: token === undefined ? undefined : cursorIn(token, filter),
          owner: filter.owner,
          matches: matcherOf(filter),
          maxSessions,
        });
        await turnFor(page.sessions);
        const next = page.cursor === undefined ? {} : { nextPageToken: pageToken(filter, page.cursor) };
        return create(ListSessionsResponseSchema, {
          page: { sessions: await infos.of(page.sessions), ...next },
        });
      },
    }),
    operation({
      method: rpc.endSessions,
      isAdministration: true,
      changes: true,
      sessionId: ({ ids }) => (ids.length === 1 ? ids[0] : undefined),
      auditDetails: endingDetails,
      async run(request, caller) {
        const report = await endings.run(request, caller);
        return create(EndSessionsResponseSchema, { report });
      },
    }),
  ];
}

/** @throws ServiceError `invalid_argument` */
export function pageSizeOf(size: bigint | undefined): number {
  if (size === undefined) return usualPageSize;
  if (size >= 1n && size <= BigInt(maxPageSize)) return Number(size);
  throw new ServiceError("downlease.argument.type", ["page_size", `a whole number from 1 to ${maxPageSize}`]);
}

/** What a call of EndSessions has chosen, and how many were ended. */
function endingDetails(request: EndSessionsRequest, response?: EndSessionsResponse): AuditDetails {
  const { ids, owner, libraryItemId, states, minAgeSeconds, all, ending, errorMessage, dryRun } = request;
  const members = {
    ending: nameIn(Ending, ending),
    error_message: errorMessage,
    owner,
    library_item_id: libraryItemId,
    states: states.length > 0 ? [...new Set(states)].map((state) => nameIn(State, state)) : undefined,
    min_age_seconds: minAgeSeconds,
    all,
    dry_run: dryRun,
    ended: response?.report?.ended,
  };
  const set = Object.entries(members).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(set.map(([name, value]) => [name, String(value)])),
    ...(ids.length > 1 && { ids: ids.slice(0, maxIds) }),
  };
}

/** The name of a value; undefined for one of a newer release. */
function nameIn(values: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.keys(values).find((name) => values[name] === value);
}
