import { momentOf, percentOf } from "../../client/numbers.ts";
import { visible } from "../../client/printable.ts";
import { required } from "../answers.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliError, explain } from "../failure.ts";
import { findItem } from "../find-item.ts";
import type { CommonFlags, Task } from "../run.ts";
import { bytes, duration, table } from "../text.ts";
import { ServerClock } from "./server-clock.ts";
import { type SessionFileView, SessionReader, type SessionView, sessionJson } from "./session-view.ts";
import { polled, watch } from "./watch.ts";

interface WatchFlags extends CommonFlags {
  readonly watch?: boolean;
  readonly interval: number;
}

interface ListFlags extends WatchFlags {
  readonly item?: string;
  readonly state?: string;
  readonly limit?: number;
}

export async function list(task: Task<ListFlags>): Promise<void> {
  const { output, flags } = task;
  const itemId = flags.item === undefined ? undefined : (await findItem(task, flags.item)).id;
  const reader = new SessionReader(task);
  const { state, limit } = flags;
  const read = async () => {
    const views = await reader.list({ itemId, state, limit, withBytes: true });
    // People look for the newest ones at the top; programs get what they have always got.
    return output.isTerminal ? views.reverse() : views;
  };
  if (!flags.watch) {
    const views = await read();
    if (output.isJson) for (const view of views) output.json(sessionJson(view));
    else output.lines(sessionTable(views, output.width));
    return;
  }
  await watch(task, {
    values: () => polled(task, read),
    frame: (views) => sessionTable(views, output.width),
    entries: (views) =>
      views.map((view) => ({
        key: view.id,
        line: [view.id, view.item, view.state, `${view.progress}%`].map(visible).join("  "),
        json: sessionJson(view),
      })),
    gone: (id) => ({ line: `${visible(id)}  gone`, json: { id, gone: true } }),
  });
}

export async function show(task: Task<WatchFlags>): Promise<void> {
  const { output, flags } = task;
  const id = task.operands[0]!;
  const reader = new SessionReader(task);
  const read = async () => {
    const view = await reader.get(id);
    return { view, files: await reader.files(id) };
  };
  if (!flags.watch) {
    const { view, files } = await read();
    if (output.isJson) output.json(sessionJson(view, files));
    else output.lines(sessionPage(view, files, output.width));
    return;
  }
  let wasThere = false;
  const readAgain = async () => {
    // A session that never existed is an error; one that is removed ends the watch.
    const view = wasThere ? await reader.find(id) : await reader.get(id);
    wasThere = true;
    return view === undefined ? undefined : { view, files: await reader.files(id) };
  };
  await watch(task, {
    values: () => polled(task, readAgain),
    frame: (value) =>
      value === undefined ? [`${visible(id)} is gone`] : sessionPage(value.view, value.files, output.width),
    entries: (value) => {
      if (value === undefined) return [];
      const { view, files } = value;
      if (output.isJson) return [{ key: id, line: "", json: sessionJson(view, files) }];
      return [
        { key: id, line: [id, view.state, `${view.progress}%`].map(visible).join("  "), json: undefined },
        ...(files ?? []).map((file) => ({
          key: `file ${file.name}`,
          line: [file.name, file.status, amount(file)].map(visible).join("  "),
          json: undefined,
        })),
      ];
    },
    gone: (key) => (key === id ? { line: `${visible(id)}  gone`, json: { id, gone: true } } : undefined),
    isOver: (value) => value === undefined || value.view.state !== "ACTIVE",
  });
}

export async function keepAlive(task: Task<CommonFlags & { readonly progress?: number }>): Promise<void> {
  const { server, call, output, flags } = task;
  const id = task.operands[0]!;
  const clock = new ServerClock();
  const progress = flags.progress === undefined ? {} : { progress: BigInt(flags.progress) };
  const answer = await server.sessions.keepAlive(
    { downloadSessionId: id, ...progress },
    { ...call, onHeader: (headers) => clock.set(headers.get("date")) },
  );
  const expiresAt = required(momentOf(answer.expirationTime), "expiration_time");
  const stored = percentOf(answer.clientProgress);
  if (output.isJson) {
    output.json({ id, client_progress: stored, expiration_time: expiresAt.toISOString() });
  } else {
    output.lines([`${visible(id)} expires in ${duration(clock.until(expiresAt))}, progress ${stored}%`]);
  }
}

export function cancel(task: Task): Promise<void> {
  const { server, call, output } = task;
  return forEachSession(task, async (id) => {
    await server.sessions.cancel({ downloadSessionId: id }, call);
    if (output.isJson) output.json({ id, state: "CANCELED" });
    else output.lines([`${visible(id)} is canceled`]);
  });
}

export async function fail(task: Task<CommonFlags & { readonly message: string }>): Promise<void> {
  const { server, call, output, flags } = task;
  const id = task.operands[0]!;
  await server.sessions.fail({ downloadSessionId: id, clientErrorMessage: flags.message }, call);
  if (output.isJson) output.json({ id, state: "ERROR", error_message: flags.message });
  else output.lines([`${visible(id)} is in ERROR: ${visible(flags.message)}`]);
}

export function remove(task: Task): Promise<void> {
  const { server, call, output } = task;
  return forEachSession(task, async (id) => {
    await server.sessions.delete({ downloadSessionId: id }, call);
    if (output.isJson) output.json({ id, deleted: true });
    else output.lines([`${visible(id)} is deleted`]);
  });
}

/** Does something to each session on the command line. A failure does not keep the others from it, unless it would repeat. */
async function forEachSession(
  { operands, output, server, call }: Task,
  work: (id: string) => Promise<void>,
): Promise<void> {
  const ids = [...new Set(operands)];
  if (ids.length === 1) return work(ids[0]!);
  const failures: CliError[] = [];
  for (const id of ids) {
    try {
      await work(id);
    } catch (error) {
      const failure = explain(error, server.url);
      if (call.signal.aborted || failure === undefined || !ofOneSession.includes(failure.exit)) throw error;
      output.note(failure.message);
      failures.push(failure);
    }
  }
  if (failures.length > 0) {
    throw new CliError(failures[0]!.exit, `${failures.length} of ${ids.length} sessions could not be ended`);
  }
}

/** Failures that say nothing about other sessions. */
const ofOneSession: readonly ExitName[] = ["not_found", "lease_lost", "usage"];

function sessionTable(views: readonly SessionView[], width: number | undefined): string[] {
  const hasBytes = views.some((view) => view.bytes !== undefined);
  return table(
    [
      { title: "ID" },
      { title: "ITEM", shrinks: true, drop: 1 },
      { title: "STATE", drop: 2 },
      { title: "PROGRESS", right: true, drop: 3 },
      ...(hasBytes ? [{ title: "BYTES", right: true, drop: 4 }] : []),
      { title: "EXPIRES IN", right: true, drop: 5 },
    ],
    views.map((view) => [
      view.id,
      view.item,
      view.state,
      `${view.progress}%`,
      ...(hasBytes ? [bytesOf(view)[0] ?? ""] : []),
      duration(view.expiresInMs),
    ]),
    width,
  );
}

function bytesOf({ bytes: known }: SessionView): string[] {
  return known === undefined ? [] : [`${bytes(known.sent)} of ${bytes(known.total)}`];
}

function sessionPage(
  view: SessionView,
  files: readonly SessionFileView[] | undefined,
  width: number | undefined,
): string[] {
  const facts = [
    ["session", view.id],
    ["item", view.item === view.itemId ? view.itemId : `${view.item} (${view.itemId})`],
    ["version", view.contentVersion],
    ["state", view.state],
    ["progress", `${view.progress}%`],
    ["expires in", `${duration(view.expiresInMs)} (${view.expiresAt?.toISOString() ?? "unknown"})`],
    ...(view.error === undefined ? [] : [["error", view.error]]),
  ];
  const lines = facts.map(([name, value]) => `${name!.padEnd(10)}  ${visible(value!)}`);
  if (files === undefined) return lines;
  const hasErrors = files.some(({ error }) => error !== undefined);
  const columns = [
    { title: "FILE", shrinks: true },
    { title: "STATUS", drop: 1 },
    { title: "BYTES", right: true },
    { title: "SIZE", right: true, drop: 2 },
    ...(hasErrors ? [{ title: "ERROR", shrinks: true }] : []),
  ];
  const rows = files.map((file) => [
    file.name,
    file.status,
    bytes(file.bytesTransferred),
    file.size === undefined ? "" : bytes(file.size),
    ...(hasErrors ? [file.error ?? ""] : []),
  ]);
  return [...lines, "", ...table(columns, rows, width)];
}

function amount({ bytesTransferred, size, error }: SessionFileView): string {
  if (error !== undefined) return error;
  return size === undefined ? bytes(bytesTransferred) : `${bytes(bytesTransferred)} of ${bytes(size)}`;
}
