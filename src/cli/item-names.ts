import { ConnectError } from "@connectrpc/connect";
import type { Task } from "./run.ts";

/** Looks up the names of items and libraries, each once. */
export class ItemNames {
  readonly #task: Pick<Task, "server" | "call">;
  readonly #items = new Map<string, Promise<string>>();
  readonly #libraries = new Map<string, Promise<string>>();

  constructor(task: Pick<Task, "server" | "call">) {
    this.#task = task;
  }

  /** `library/item`, or the identifier if the look-up fails. */
  of(itemId: string): Promise<string> {
    return lookUpOnce(this.#items, itemId, async () => {
      const { server, call } = this.#task;
      const { libraryItem } = await server.items.get({ libraryItemId: itemId }, call);
      if (!libraryItem?.name) return itemId;
      return `${await this.ofLibrary(libraryItem.libraryId ?? "")}/${libraryItem.name}`;
    });
  }

  /** The name, or the identifier if the look-up fails. */
  ofLibrary(libraryId: string): Promise<string> {
    return lookUpOnce(this.#libraries, libraryId, async () => {
      const { server, call } = this.#task;
      const { library } = await server.libraries.get({ libraryId }, call);
      return library?.name || libraryId;
    });
  }
}

/** A look-up that fails is repeated the next time. */
function lookUpOnce(
  names: Map<string, Promise<string>>,
  id: string,
  lookUp: () => Promise<string>,
): Promise<string> {
  const earlier = names.get(id);
  if (earlier !== undefined) return earlier;
  const name = lookUp().catch((error) => {
    names.delete(id);
    if (error instanceof ConnectError) return id;
    throw error;
  });
  names.set(id, name);
  return name;
}
