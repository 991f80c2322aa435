import { rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { hasCode, onDisk, ownName } from "./disk.ts";
import { openOwnToRead, replaceOwn } from "./own-files.ts";

const partSchema = z.strictObject({
  name: z.string(),
  /** Bytes of the whole file. */
  size: z.int().nonnegative(),
  /** SHA-256 of the whole file, lower-case hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Strong ETag of the response that the bytes of the partial file come from. */
  etag: z.string().optional(),
  /**
   * The bytes that the partial file has, from a first to before a last position; unset if it has all up to its end. What
   * it has besides does not count.
   */
  ranges: z.array(z.tuple([z.int().nonnegative(), z.int().positive()])).optional(),
});

/** Versions without and with `ranges`. A release that does not know a version ignores the file, and starts over. */
const [version, rangesVersion] = [1, 2] as const;

const stateSchema = z.strictObject({
  version: z.union([z.literal(version), z.literal(rangesVersion)]),
  itemId: z.string(),
  /** Token that the session is created with; unset once the session has ended. */
  clientToken: z.uuid().optional(),
  sessionId: z.string().optional(),
  /** Content version of the item when the session was created. */
  contentVersion: z.string().optional(),
  parts: z.array(partSchema),
});

/** The state of an incomplete file. */
export type PartState = z.infer<typeof partSchema>;
type State = z.infer<typeof stateSchema>;

/** A larger file is not a state file: a state has a few lines per incomplete file. */
const maxBytes = 16 * 1024 * 1024;

/**
 * The state of a download that the next run needs, in `.downlease-….json` beside the files. Each write replaces the
 * whole file atomically. An invalid file counts as missing. The caller holds the lock of the item.
 */
export class StateFile {
  readonly #path: string;
  #state: State;
  /** A write that has not begun yet; it will write the latest state. */
  #next: Promise<void> | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, state: State) {
    this.#path = path;
    this.#state = state;
  }

  static async open(directory: string, itemId: string): Promise<StateFile> {
    const path = join(directory, ownName("item", itemId, "json"));
    const saved = await onDisk(path, () => readState(path));
    const state = saved?.itemId === itemId ? saved : { version, itemId, parts: [] };
    return new StateFile(path, state);
  }

  get session(): Pick<State, "clientToken" | "sessionId" | "contentVersion"> {
    return this.#state;
  }

  /** Saves a session, or that there is none. Resolves when the state is on disk. */
  setSession(session: Pick<State, "clientToken" | "sessionId" | "contentVersion">): Promise<void> {
    const { itemId, parts } = this.#state;
    this.#state = { version, itemId, parts, ...session };
    return this.#save();
  }

  part(name: string): PartState | undefined {
    return this.#state.parts.find((part) => part.name === name);
  }

  get parts(): readonly PartState[] {
    return this.#state.parts;
  }

  /** Resolves when the state is on disk. */
  setPart(part: PartState): Promise<void> {
    this.#state = { ...this.#state, parts: [...this.#without(part.name), part] };
    return this.#save();
  }

  /** Resolves when the state is on disk. */
  async removePart(name: string): Promise<void> {
    const parts = this.#without(name);
    if (parts.length === this.#state.parts.length) return;
    this.#state = { ...this.#state, parts };
    await this.#save();
  }

  /** Removes the file after a complete download, unless it has partial files that another run may resume. */
  async close(): Promise<void> {
    if (this.#state.parts.length > 0) return this.setSession({});
    await this.#writing;
    await onDisk(this.#path, () => rm(this.#path, { force: true }));
  }

  /** Removes the file after a failure, if it has nothing that another run may resume. */
  async closeIfEmpty(): Promise<void> {
    if (this.#state.parts.length === 0) await this.close();
  }

  #without(name: string): PartState[] {
    return this.#state.parts.filter((part) => part.name !== name);
  }

  /** Changes during a write are written together by the next one. */
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
    const hasRanges = this.#state.parts.some(({ ranges }) => ranges !== undefined);
    const state = { ...this.#state, version: hasRanges ? rangesVersion : version };
    const text = `${JSON.stringify(state, undefined, 2)}\n`;
    // Readable for the owner only: the state names the session.
    await onDisk(this.#path, () => replaceOwn(this.#path, text));
  }
}

/** Undefined if the file is missing or invalid. */
async function readState(path: string): Promise<State | undefined> {
  try {
    await using file = await openOwnToRead(path);
    if ((await file.stat()).size > maxBytes) return undefined;
    return stateSchema.parse(JSON.parse(await file.readFile("utf8")));
  } catch (error) {
    if (error instanceof z.ZodError || error instanceof SyntaxError) return undefined;
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
