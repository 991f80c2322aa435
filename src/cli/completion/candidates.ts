import pLimit from "p-limit";
import { openServer } from "../connection.ts";
import { findItem } from "../find-item.ts";
import type { Io } from "../io.ts";
import type { Task } from "../run.ts";
import { chooseServer } from "../server-choice.ts";
import type { ServerFlags } from "../server-options.ts";
import { readServerList } from "../servers/server-list.ts";
import { SessionReader } from "../sessions/session-view.ts";

/** The names that can be completed: those of a server, and those of servers. */
export type Source = "items" | "files" | "libraries" | "sessions" | "servers";

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

export interface Typed {
  readonly flags: ServerFlags;
  /** The word to complete. */
  readonly word: string;
  /** The item on the command line, if there is one. */
  readonly item: string | undefined;
}

/** The user waits for this long at most, not counting the start of the program. */
const maxWaitMs = 1_000;
const parallel = 8;

type ServerCalls = Pick<Task, "server" | "call">;

/** Names that the server sends in time, by source; none if it is unreachable. */
export async function candidatesFor(
  sources: ReadonlySet<Source>,
  { flags, word, item }: Typed,
  io: Io,
): Promise<Partial<Record<Source, readonly Candidate[]>>> {
  if (sources.has("servers")) return { servers: await servers(io) };
  const candidates: Partial<Record<Source, Candidate[]>> = {};
  const signal = AbortSignal.timeout(maxWaitMs);
  const add = (source: Source) => (value: string, description: string) => {
    if (!isHarmless(value)) return;
    candidates[source] ??= [];
    candidates[source].push({ value, description: description.replace(unusual, "?") });
  };
  try {
    const choice = await chooseServer(flags, io.environment);
    // There is no password prompt in the middle of a command line.
    if (choice.user !== undefined && !choice.password && !choice.passwordFile) return {};
    await using server = await openServer(choice, io);
    const task = { server, call: { signal, timeoutMs: maxWaitMs } };
    const requests: Record<Exclude<Source, "servers">, () => Promise<void>> = {
      items: () => items(task, word, add("items")),
      files: async () => void (item !== undefined && (await files(task, item, add("files")))),
      libraries: () => libraries(task, add("libraries")),
      sessions: () => sessions(task, add("sessions")),
    };
    await Promise.allSettled([...sources].map((source) => source !== "servers" && requests[source]()));
  } catch {
    // No server, no candidates.
  }
  return candidates;
}

/**
 * Whether a name can be offered. Some shells insert it unquoted, so it must have no character that is special to a shell and must not
 * look like an option.
 */
function isHarmless(value: string): boolean {
  return /^[A-Za-z0-9_][\w.@%+,/-]*$/.test(value);
}

const unusual = /[^\w .,:@%+/()-]/g;

/** None if the list of servers is wrong. */
async function servers({ environment }: Io): Promise<Candidate[]> {
  try {
    const { servers } = await readServerList(environment);
    return Object.entries(servers).map(([value, { url }]) => ({
      value,
      description: url.replace(unusual, "?"),
    }));
  } catch {
    return [];
  }
}

type Add = (value: string, description: string) => void;

/**
 * Adds names of items: with the library if the name is ambiguous or the word has a slash. Adds identifiers only once a part of one may
 * have been typed.
 */
async function items({ server, call }: ServerCalls, word: string, add: Add): Promise<void> {
  const limit = pLimit(parallel);
  const { libraryIds } = await server.libraries.list({}, call);
  const entries: { id: string; name: string; library: string; type: string }[] = [];
  try {
    await limit.map(libraryIds, async (libraryId) => {
      const { library } = await server.libraries.get({ libraryId }, call);
      const { libraryItemIds } = await server.items.list({ libraryId }, call);
      for (const id of libraryItemIds) {
        const { libraryItem } = await server.items.get({ libraryItemId: id }, call);
        const { name = "", type = "" } = libraryItem ?? {};
        entries.push({ id, name, library: library?.name ?? "", type });
      }
    });
  } finally {
    const count = Map.groupBy(entries, ({ name }) => name);
    for (const { id, name, library, type } of entries) {
      const description = [library, type].filter(Boolean).join(" ");
      const isUnique = count.get(name)!.length === 1;
      if (word.includes("/") || !isUnique) add(`${library}/${name}`, type);
      else add(isHarmless(name) ? name : id, isHarmless(name) ? description : `${library}/${name}`);
      if (word !== "" && id !== name && isHarmless(name)) add(id, `${library}/${name}`);
    }
  }
}

async function files(task: ServerCalls, reference: string, add: Add): Promise<void> {
  const { id } = await findItem(task, reference);
  const { files: listed } = await task.server.itemFiles.list({ libraryItemId: id }, task.call);
  for (const { name } of listed) add(name, "");
}

async function libraries({ server, call }: ServerCalls, add: Add): Promise<void> {
  const { libraryIds } = await server.libraries.list({}, call);
  for (const libraryId of libraryIds) {
    const { library } = await server.libraries.get({ libraryId }, call);
    const name = library?.name ?? "";
    if (isHarmless(name)) add(name, library?.description ?? "");
    else add(libraryId, name);
  }
}

async function sessions(task: ServerCalls, add: Add): Promise<void> {
  for (const { id, item, state } of await new SessionReader(task).list()) add(id, `${item} ${state}`);
}
