import type { LoginInfo } from "../../../gen/downlease/admin/v1/admin_pb.ts";
import { momentOf } from "../../client/numbers.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import { CliError } from "../failure.ts";
import type { CommonFlags, Task } from "../run.ts";
import { ServerClock } from "../sessions/server-clock.ts";
import { duration, table } from "../text.ts";
import { confirm } from "./confirm.ts";

interface ListFlags extends CommonFlags {
  readonly of?: string;
}

interface EndFlags extends ListFlags {
  readonly yes?: boolean;
}

/** Login sessions of one answer: with the longest names it stays below the limit of the client. */
const pageSize = 250n;
/** Ids of one call. */
const maxIds = 1_000;

export async function list(task: Task<ListFlags>): Promise<void> {
  const { output, flags } = task;
  const clock = new ServerClock();
  const rows: LoginInfo[] = [];
  for await (const logins of pages(task, flags.of, clock)) {
    if (output.isJson) for (const login of logins) output.json(loginJson(login));
    else rows.push(...logins);
  }
  if (output.isJson) return;
  const columns = [
    { title: "ID" },
    { title: "PRINCIPAL", shrinks: true },
    { title: "ROLES", drop: 3 },
    { title: "PROOF", drop: 4 },
    { title: "LAST USED", right: true, drop: 1 },
    { title: "EXPIRES IN", right: true, drop: 2 },
  ];
  rows.sort((a, b) => (a.principal < b.principal ? -1 : a.principal > b.principal ? 1 : 0));
  output.lines(
    table(
      columns,
      rows.map(({ id, principal, roles, proof, lastAccessedTime, expirationTime }) => [
        id,
        principal,
        roles.join(","),
        proof,
        timeTo(lastAccessedTime, (moment) => -clock.until(moment)),
        timeTo(expirationTime, (moment) => clock.until(moment)),
      ]),
      output.width,
    ),
  );
}

export async function end(task: Task<EndFlags>): Promise<void> {
  const { output, flags, io, operands, server, call } = task;
  const { of: principal } = flags;
  if (operands.length > 0 === (principal !== undefined)) {
    throw new CliError(
      "usage",
      "say which login sessions are to end: by ids, or those of a principal by --of",
    );
  }
  const ids = [...new Set(operands)];
  if (!flags.yes) {
    const which =
      principal === undefined ? logins(ids.length) : `all login sessions of '${visible(principal)}'`;
    await confirm(io, () => `end ${which} at ${visible(server.url)}?`, "nothing was ended");
  }
  let ended = 0;
  const requests =
    principal === undefined
      ? Array.from({ length: Math.ceil(ids.length / maxIds) }, (_, part) => ({
          ids: ids.slice(part * maxIds, (part + 1) * maxIds),
        }))
      : [{ principal }];
  for (const request of requests) {
    ended += Number(required((await server.admin.endLogins(request, call)).report, "report").ended);
  }
  if (output.isJson) output.json({ ended });
  else output.lines([`${logins(ended)} ended`]);
  if (ended < ids.length) throw new CliError("not_found", `${logins(ids.length - ended)} did not exist`);
}

function timeTo(time: LoginInfo["createdTime"], until: (moment: Date) => number): string {
  const moment = momentOf(time);
  return moment === undefined ? "" : duration(Math.max(0, until(moment)));
}

/** A login session that comes twice is left out the second time. */
async function* pages(
  { server, call }: Pick<Task, "server" | "call">,
  principal: string | undefined,
  clock: ServerClock,
): AsyncGenerator<readonly LoginInfo[]> {
  const seen = new Set<string>();
  const onHeader = (headers: Headers) => clock.set(headers.get("date"));
  for (let pageToken: string | undefined; ; ) {
    const filter = principal === undefined ? {} : { principal };
    const request = { ...filter, pageSize, ...(pageToken !== undefined && { pageToken }) };
    const page = required((await server.admin.listLogins(request, { ...call, onHeader })).page, "page");
    const fresh = page.logins.filter(({ id }) => !seen.has(id));
    for (const { id } of fresh) seen.add(id);
    yield fresh;
    pageToken = page.nextPageToken;
    if (pageToken === undefined) return;
  }
}

function loginJson({ id, principal, roles, proof, ...times }: LoginInfo): object {
  return {
    id,
    principal,
    roles,
    proof,
    created_time: momentOf(times.createdTime)?.toISOString(),
    last_accessed_time: momentOf(times.lastAccessedTime)?.toISOString(),
    expiration_time: momentOf(times.expirationTime)?.toISOString(),
  };
}

function logins(count: number): string {
  return `${count} login ${count === 1 ? "session" : "sessions"}`;
}
