import { ConnectError } from "@connectrpc/connect";
import type { Task } from "./run.ts";

/** The names of items and libraries, each looked up once. */
export class ItemNames {
  readonly #task: Pick<Task, "server" | "call">;
  readonly #items = new Map<string, Promise<string>>();
  readonly #libraries = new Map<string, Promise<string>>();

  constructor(task: Pick<Task, "server" | "call">) {
    this.#task = task;
  }

  /** `library/item`; the identifier itself of an item that can't be looked up. */
  of(itemId: string): Promise<string> {
    return remembered(this.#items, itemId, async () => {
      const { server, call } = this.#task;
      const { libraryItem } = await server.items.get({ libraryItemId: itemId }, call);
      if (!libraryItem?.name) return itemId;
      return `${await this.ofLibrary(libraryItem.libraryId ?? "")}/${libraryItem.name}`;
    });
  }

  /** The identifier itself of a library that can't be looked up. */
  ofLibrary(libraryId: string): Promise<string> {
    return remembered(this.#libraries, libraryId, async () => {
      const { server, call } = this.#task;
      const { library } = await server.libraries.get({ libraryId }, call);
      return library?.name || libraryId;
    });
  }
}

/** What could not be looked up is asked for again. */
function remembered(
  known: Map<string, Promise<string>>,
  id: string,
  ask: () => Promise<string>,
): Promise<string> {
  const before = known.get(id);
  if (before !== undefined) return before;
  const answer = ask().catch((error) => {
    known.delete(id);
    if (error instanceof ConnectError) return id;
    throw error;
  });
  known.set(id, answer);
  return answer;
}
