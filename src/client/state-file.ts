import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { onDisk, ownName, syncDirectory } from "./disk.ts";

const partSchema = z.strictObject({
  name: z.string(),
  /** Bytes of the whole file. */
  size: z.int().nonnegative(),
  /** Of the whole file, lower-case hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** As the link told it: what the bytes of the partial file are a part of. */
  etag: z.string().optional(),
});

const stateSchema = z.strictObject({
  version: z.literal(1),
  itemId: z.string(),
  /** The session is created with it; unset once the session has been ended. */
  clientToken: z.uuid().optional(),
  sessionId: z.string().optional(),
  /** Of the item, when the session was created. */
  contentVersion: z.string().optional(),
  parts: z.array(partSchema),
});

/** A file that is incomplete on the disk. */
export type PartState = z.infer<typeof partSchema>;
type State = z.infer<typeof stateSchema>;

/** A state that is larger is none of ours: it has a line for each file of an item that is being downloaded. */
const maxBytes = 16 * 1024 * 1024;

/**
 * What is remembered of an item's download from one run to the next, in `.downlease-….json` beside the files. It is
 * written whole, or not at all. A file that can't be read as one is taken for none. The caller has the item's lock.
 */
export class StateFile {
  readonly #path: string;
  readonly #directory: string;
  #state: State;
  /** The write that has not begun yet and will have all that is known now. */
  #next: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(directory: string, path: string, state: State) {
    this.#directory = directory;
    this.#path = path;
    this.#state = state;
  }

  static async open(directory: string, itemId: string): Promise<StateFile> {
    const path = join(directory, ownName("item", itemId, "json"));
    const known = await onDisk(path, () => readState(path));
    const state = known?.itemId === itemId ? known : { version: 1 as const, itemId, parts: [] };
    return new StateFile(directory, path, state);
  }

  get session(): Pick<State, "clientToken" | "sessionId" | "contentVersion"> {
    return this.#state;
  }

  /** Remembers a session, or that there is none. Resolves when that is on the disk. */
  setSession(session: Pick<State, "clientToken" | "sessionId" | "contentVersion">): Promise<void> {
    const { version, itemId, parts } = this.#state;
    this.#state = { version, itemId, parts, ...session };
    return this.#save();
  }

  part(name: string): PartState | undefined {
    return this.#state.parts.find((part) => part.name === name);
  }

  get parts(): readonly PartState[] {
    return this.#state.parts;
  }

  /** Resolves when it is on the disk. */
  setPart(part: PartState): Promise<void> {
    this.#state = { ...this.#state, parts: [...this.#without(part.name), part] };
    return this.#save();
  }

  /** Resolves when it is on the disk. */
  async removePart(name: string): Promise<void> {
    const parts = this.#without(name);
    if (parts.length === this.#state.parts.length) return;
    this.#state = { ...this.#state, parts };
    await this.#save();
  }

  /** The download is complete: the file goes, unless there are partial files that another run may go on with. */
  async close(): Promise<void> {
    if (this.#state.parts.length > 0) return this.setSession({});
    await this.#writing;
    await onDisk(this.#path, () => rm(this.#path, { force: true }));
  }

  #without(name: string): PartState[] {
    return this.#state.parts.filter((part) => part.name !== name);
  }

  /** Changes that come while one is written are written together. */
  #save(): Promise<void> {
    this.#next ??= this.#writing
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#write();
      });
    this.#writing = this.#next;
    return this.#next;
  }

  async #write(): Promise<void> {
    const text = `${JSON.stringify(this.#state, undefined, 2)}\n`;
    const draft = `${this.#path}.new`;
    await onDisk(this.#path, async () => {
      try {
        // It names the session.
        await using file = await open(draft, "w", 0o600);
        await file.writeFile(text);
        await file.sync();
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
      await rename(draft, this.#path);
      await syncDirectory(this.#directory);
    });
  }
}

/** Undefined when there is none, or none that can be understood. */
async function readState(path: string): Promise<State | undefined> {
  try {
    const stats = await stat(path);
    if (!stats.isFile() || stats.size > maxBytes) return undefined;
    return stateSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
