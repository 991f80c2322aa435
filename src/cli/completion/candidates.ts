import pLimit from "p-limit";
import { openServer, type ServerFlags } from "../connection.ts";
import { findItem } from "../find-item.ts";
import type { Task } from "../run.ts";
import { SessionReader } from "../sessions/session-view.ts";

/** What names of a server can be completed. */
export type Source = "items" | "files" | "libraries" | "sessions";

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

export interface Typed {
  readonly flags: ServerFlags;
  /** The word that is to be completed. */
  readonly word: string;
  /** The item that the words name, if they do. */
  readonly item: string | undefined;
}

/** Whoever has pressed the key waits no longer than this, beside the start of the program. */
const patienceMs = 1_000;
const parallel = 8;

type Server = Pick<Task, "server" | "call">;

/** What a server tells within the patience; nothing when it can't be reached. */
export async function candidatesFor(
  sources: ReadonlySet<Source>,
  { flags, word, item }: Typed,
): Promise<Partial<Record<Source, readonly Candidate[]>>> {
  // Nobody can be asked in the middle of a command line.
  if (flags.user !== undefined && !flags.password) return {};
  const found: Partial<Record<Source, Candidate[]>> = {};
  const signal = AbortSignal.timeout(patienceMs);
  const add = (source: Source) => (value: string, description: string) => {
    if (!isHarmless(value)) return;
    found[source] ??= [];
    found[source].push({ value, description: description.replace(unusual, "?") });
  };
  try {
    await using server = await openServer(flags);
    const task = { server, call: { signal, timeoutMs: patienceMs } };
    const asked: Record<Source, () => Promise<void>> = {
      items: () => items(task, word, add("items")),
      files: async () => void (item !== undefined && (await files(task, item, add("files")))),
      libraries: () => libraries(task, add("libraries")),
      sessions: () => sessions(task, add("sessions")),
    };
    await Promise.allSettled([...sources].map((source) => asked[source]()));
  } catch {
    // No server, no candidates.
  }
  return found;
}

/**
 * Names are put into command lines as they are, unquoted by some shells: one with any character that means something to a shell is not
 * offered, nor one that would be taken for an option.
 */
function isHarmless(value: string): boolean {
  return /^[A-Za-z0-9_][\w.@%+,/-]*$/.test(value);
}

const unusual = /[^\w .,@%+/()-]/g;

type Add = (value: string, description: string) => void;

/** Names of items, with their library where it is needed or has been typed; identifiers once something has been typed. */
async function items({ server, call }: Server, word: string, add: Add): Promise<void> {
  const limit = pLimit(parallel);
  const { libraryIds } = await server.libraries.list({}, call);
  const known: { id: string; name: string; library: string; type: string }[] = [];
  try {
    await limit.map(libraryIds, async (libraryId) => {
      const { library } = await server.libraries.get({ libraryId }, call);
      const { libraryItemIds } = await server.items.list({ libraryId }, call);
      for (const id of libraryItemIds) {
        const { libraryItem } = await server.items.get({ libraryItemId: id }, call);
        const { name = "", type = "" } = libraryItem ?? {};
        known.push({ id, name, library: library?.name ?? "", type });
      }
    });
  } finally {
    const count = Map.groupBy(known, ({ name }) => name);
    for (const { id, name, library, type } of known) {
      const description = [library, type].filter(Boolean).join(" ");
      const isUnique = count.get(name)!.length === 1;
      if (word.includes("/") || !isUnique) add(`${library}/${name}`, type);
      else add(isHarmless(name) ? name : id, isHarmless(name) ? description : `${library}/${name}`);
      if (word !== "" && id !== name && isHarmless(name)) add(id, `${library}/${name}`);
    }
  }
}

async function files(task: Server, reference: string, add: Add): Promise<void> {
  const { id } = await findItem(task, reference);
  const { files: listed } = await task.server.itemFiles.list({ libraryItemId: id }, task.call);
  for (const { name } of listed) add(name, "");
}

async function libraries({ server, call }: Server, add: Add): Promise<void> {
  const { libraryIds } = await server.libraries.list({}, call);
  for (const libraryId of libraryIds) {
    const { library } = await server.libraries.get({ libraryId }, call);
    const name = library?.name ?? "";
    if (isHarmless(name)) add(name, library?.description ?? "");
    else add(libraryId, name);
  }
}

async function sessions(task: Server, add: Add): Promise<void> {
  for (const { id, item, state } of await new SessionReader(task).list(undefined))
    add(id, `${item} ${state}`);
}
