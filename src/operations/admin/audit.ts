import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  AdminService,
  type AuditEntrySchema,
  ListAuditEntriesResponseSchema,
} from "../../../gen/downlease/admin/v1/admin_pb.ts";
import type { AuditRecord } from "../../calls/audit.ts";
import { type Operation, operation } from "../../calls/pipeline.ts";
import { rolesIn } from "../../domain/roles.ts";
import { identifier } from "../arguments.ts";
import { turnFor } from "../long-lists.ts";

export interface AdminAuditParts {
  /** The latest entries, newest first. */
  readonly entries: () => readonly AuditRecord[];
}

/** The operation of `downlease.admin` about the audit log. */
export function adminAuditOperations({ entries }: AdminAuditParts): Operation[] {
  return [
    operation({
      method: AdminService.method.listAuditEntries,
      isAdministration: true,
      async run(request) {
        const [sessionId, principal] = [request.sessionId, request.principal].map((value, index) =>
          value === undefined ? undefined : identifier(value, ["session_id", "principal"][index]!),
        );
        const matching = entries().filter(
          (entry) =>
            (sessionId === undefined || entry.sessionId === sessionId) &&
            (principal === undefined || entry.principal === principal),
        );
        await turnFor(matching);
        return create(ListAuditEntriesResponseSchema, { entries: matching.map(entryOf) });
      },
    }),
  ];
}

function entryOf({ time, roles, details, ...entry }: AuditRecord): MessageInitShape<typeof AuditEntrySchema> {
  const { principal, sessionId, libraryItemId, traceId } = entry;
  return {
    time: timestampFromMs(time),
    roles: rolesIn(roles),
    proof: entry.proof,
    clientAddress: entry.clientAddress,
    operation: entry.operation,
    outcome: entry.outcome,
    requestId: entry.requestId,
    details: Object.fromEntries(Object.entries(details ?? {}).map(([name, value]) => [name, String(value)])),
    ...(principal !== undefined && { principal }),
    ...(sessionId !== undefined && { sessionId }),
    ...(libraryItemId !== undefined && { libraryItemId }),
    ...(traceId !== undefined && { traceId }),
  };
}
