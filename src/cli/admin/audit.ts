import type { AuditEntry } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { momentOf } from "../../client/numbers.ts";
import type { CommonFlags, Task } from "../run.ts";
import { table } from "../text.ts";

interface AuditFlags extends CommonFlags {
  readonly of?: string;
  readonly session?: string;
}

/** Lists the latest entries of the audit log, oldest first, as in a file. */
export async function list({ server, call, output, flags }: Task<AuditFlags>): Promise<void> {
  const request = {
    ...(flags.of !== undefined && { principal: flags.of }),
    ...(flags.session !== undefined && { sessionId: flags.session }),
  };
  const { entries } = await server.admin.listAuditEntries(request, call);
  const sorted = entries.toReversed();
  if (output.isJson) for (const entry of sorted) output.json(entryJson(entry));
  else {
    const columns = [
      { title: "TIME" },
      { title: "PRINCIPAL", shrinks: true },
      { title: "CLIENT", drop: 3 },
      { title: "OPERATION" },
      { title: "OUTCOME", drop: 1 },
      { title: "ABOUT", shrinks: true, drop: 2 },
    ];
    output.lines(
      table(
        columns,
        sorted.map((entry) => [
          momentOf(entry.time)?.toISOString() ?? "",
          entry.principal ?? "",
          entry.clientAddress,
          entry.operation,
          entry.outcome,
          aboutOf(entry),
        ]),
        output.width,
      ),
    );
  }
}

function aboutOf({ sessionId, libraryItemId, details }: AuditEntry): string {
  const more = Object.entries(details).map(([name, value]) => `${name}=${value}`);
  return [sessionId, libraryItemId, ...more].filter((text) => text !== undefined).join(" ");
}

function entryJson(entry: AuditEntry): object {
  const { principal, roles, proof, operation, outcome, details } = entry;
  return {
    time: momentOf(entry.time)?.toISOString(),
    principal,
    roles,
    proof,
    client_address: entry.clientAddress,
    operation,
    session_id: entry.sessionId,
    library_item_id: entry.libraryItemId,
    outcome,
    request_id: entry.requestId,
    trace_id: entry.traceId,
    ...(Object.keys(details).length > 0 && { details }),
  };
}
