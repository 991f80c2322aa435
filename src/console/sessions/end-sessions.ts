import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { DownloadSessionService } from "../../../gen/content/library/item/v1/download_session_pb.ts";
import { AdminService, Ending } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { transport } from "../shell/transport.ts";

const admin = createClient(AdminService, transport);
const sessions = createClient(DownloadSessionService, transport);

/** How sessions are to be ended. */
export interface EndRequest {
  readonly ids: readonly string[];
  readonly ending: Ending;
  /** What their owners read; only for `ENDING_FAIL`. */
  readonly errorMessage: string;
  /** Finds out what would happen, and ends nothing. */
  readonly isDryRun: boolean;
}

export interface EndResult {
  readonly ended: number;
  /** Numbers of sessions that were not ended, by the name of the error. */
  readonly refused: Readonly<Record<string, number>>;
}

/** As many as the service takes in one call. */
const maxIds = 1_000;

/** Ends any sessions, as an operator. @param progress called with the number of sessions that have been dealt with */
export async function endAsOperator(
  { ids, ending, errorMessage, isDryRun }: EndRequest,
  progress: (count: number) => void,
): Promise<EndResult> {
  let ended = 0;
  const refused: Record<string, number> = {};
  for (let start = 0; start < ids.length; start += maxIds) {
    const request = {
      ids: ids.slice(start, start + maxIds),
      ending,
      dryRun: isDryRun,
      ...(ending === Ending.FAIL && { errorMessage }),
    };
    for (let pageToken: string | undefined; ; ) {
      const { report } = await admin.endSessions(
        pageToken === undefined ? request : { ...request, pageToken },
      );
      ended += Number(report?.ended ?? 0n);
      for (const { error, count } of report?.refusals ?? [])
        refused[error] = (refused[error] ?? 0) + Number(count);
      pageToken = report?.nextPageToken;
      if (pageToken === undefined) break;
    }
    progress(Math.min(ids.length, start + maxIds));
  }
  return { ended, refused };
}

/** Ends sessions of the user's own, one by one. There is nothing to find out before. */
export async function endOwn(
  { ids, ending, errorMessage, isDryRun }: EndRequest,
  progress: (count: number) => void,
): Promise<EndResult> {
  if (isDryRun) return { ended: ids.length, refused: {} };
  let ended = 0;
  const refused: Record<string, number> = {};
  for (const [index, downloadSessionId] of ids.entries()) {
    try {
      if (ending === Ending.DELETE) await sessions.delete({ downloadSessionId });
      else if (ending === Ending.FAIL)
        await sessions.fail({ downloadSessionId, clientErrorMessage: errorMessage });
      else await sessions.cancel({ downloadSessionId });
      ended++;
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (code !== Code.NotFound && code !== Code.FailedPrecondition) throw error;
      const name = code === Code.NotFound ? "not_found" : "not_allowed_in_current_state";
      refused[name] = (refused[name] ?? 0) + 1;
    }
    progress(index + 1);
  }
  return { ended, refused };
}
