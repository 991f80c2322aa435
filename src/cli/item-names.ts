import { ConnectError } from "@connectrpc/connect";
import type { Task } from "./run.ts";

/** Names that are kept; a watch may last for days. */
const maxNames = 10_000;

type IsThrown = (error: ConnectError) => boolean;

/** Looks up the names of items and libraries, each once. */
export class ItemNames {
  readonly #task: Pick<Task, "server" | "call">;
  readonly #isThrown: IsThrown;
  readonly #items = new Map<string, Promise<string>>();
  readonly #libraries = new Map<string, Promise<string>>();

  /** @param isThrown selects failures that are thrown instead of answered with the identifier; none by default */
  constructor(task: Pick<Task, "server" | "call">, isThrown: IsThrown = () => false) {
    this.#task = task;
    this.#isThrown = isThrown;
  }

  /** `library/item`, or the identifier if the look-up fails. */
  of(itemId: string): Promise<string> {
    return this.#lookUpOnce(this.#items, itemId, async () => {
      const { server, call } = this.#task;
      const { libraryItem } = await server.items.get({ libraryItemId: itemId }, call);
      if (!libraryItem?.name) return itemId;
      return `${await this.ofLibrary(libraryItem.libraryId ?? "")}/${libraryItem.name}`;
    });
  }

  /** The name, or the identifier if the look-up fails. */
  ofLibrary(libraryId: string): Promise<string> {
    return this.#lookUpOnce(this.#libraries, libraryId, async () => {
      const { server, call } = this.#task;
      const { library } = await server.libraries.get({ libraryId }, call);
      return library?.name || libraryId;
    });
  }

  /** A look-up that fails is repeated the next time. */
  #lookUpOnce(
    names: Map<string, Promise<string>>,
    id: string,
    lookUp: () => Promise<string>,
  ): Promise<string> {
    const earlier = names.get(id);
    if (earlier !== undefined) return earlier;
    const name = lookUp().catch((error) => {
      names.delete(id);
      if (error instanceof ConnectError && !this.#isThrown(error)) return id;
      throw error;
    });
    if (names.size >= maxNames) names.clear();
    names.set(id, name);
    return name;
  }
}
