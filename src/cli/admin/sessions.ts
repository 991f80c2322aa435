import type { SessionInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import type { Task } from "../run.ts";
import { ServerClock } from "../sessions/server-clock.ts";
import { watch } from "../sessions/watch.ts";
import { followSessions } from "./follow-sessions.ts";
import { type FilterFlags, filterOf, type SessionFilter } from "./session-filter.ts";
import { sessionJson, sessionLine, sessionTable } from "./session-row.ts";

interface ListFlags extends FilterFlags {
  readonly limit?: number;
  readonly watch?: boolean;
  readonly interval: number;
}

/** Sessions of one answer: with the longest texts everywhere they stay below the limit of the client. */
const pageSize = 250n;
/** Sessions of a table without `--limit`. */
const maxRows = 1_000;

export async function list(task: Task<ListFlags>): Promise<void> {
  const { output, flags } = task;
  const filter = await filterOf(task);
  const clock = new ServerClock();
  if (flags.watch) return watchList(task, filter, clock);
  const limit = flags.limit ?? (output.isJson ? Number.POSITIVE_INFINITY : maxRows);
  const rows: SessionInfo[] = [];
  let count = 0;
  for await (const sessions of pages(task, filter, clock)) {
    const shown = sessions.slice(0, limit - count);
    count += shown.length;
    if (output.isJson) for (const session of shown) output.json(sessionJson(session));
    else rows.push(...shown);
    if (shown.length < sessions.length) {
      output.note(`the first ${limit} sessions are shown; there are more (--limit)`);
      break;
    }
  }
  if (!output.isJson) output.lines(sessionTable(rows, clock, output.width));
}

function watchList(task: Task<ListFlags>, filter: SessionFilter, clock: ServerClock): Promise<void> {
  const { output, flags } = task;
  const limit = flags.limit ?? maxRows;
  return watch(task, {
    values: () => followSessions(task, { filter, limit, clock }),
    frame: (sessions) => sessionTable(sessions, clock, output.width),
    entries: (sessions) =>
      sessions.map((session) => ({
        key: session.id,
        line: sessionLine(session).map(visible).join("  "),
        json: sessionJson(session),
      })),
    gone: (id) => ({ line: `${visible(id)}  gone`, json: { id, gone: true } }),
  });
}

/** The pages that have sessions. A session that comes twice is left out the second time. */
async function* pages(
  { server, call }: Pick<Task, "server" | "call">,
  filter: SessionFilter,
  clock: ServerClock,
): AsyncGenerator<readonly SessionInfo[]> {
  const seen = new Set<string>();
  const onHeader = (headers: Headers) => clock.set(headers.get("date"));
  for (let pageToken: string | undefined; ; ) {
    const request = { ...filter, pageSize, ...(pageToken !== undefined && { pageToken }) };
    const answer = await server.admin.listSessions(request, { ...call, onHeader });
    const page = required(answer.page, "page");
    const sessions = page.sessions.filter(({ id }) => !seen.has(id));
    for (const { id } of sessions) seen.add(id);
    if (sessions.length > 0) yield sessions;
    pageToken = page.nextPageToken;
    if (pageToken === undefined) return;
  }
}
