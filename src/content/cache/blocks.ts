/** Files are cached in blocks: of this many bytes each, the last one of a file shorter. */
export const blockBytes = 2 * 1024 * 1024;
/** Each block has a checksum for so many bytes. The buffers of downloads are whole numbers of them. */
export const pieceBytes = 64 * 1024;

/** The place of a block among all that are cached. */
export interface BlockAddress {
  /** Digest of what identifies the file's content: hexadecimal. */
  readonly file: string;
  /** Number of the block in its file, from 0. */
  readonly block: number;
}

export function nameOf({ file, block }: BlockAddress): string {
  return `${file}-${block}`;
}

/** The address in a name from `nameOf`; undefined for any other name. */
export function addressOf(name: string): BlockAddress | undefined {
  const [, file, block] = /^([0-9a-f]{32})-(0|[1-9]\d{0,14})$/.exec(name) ?? [];
  return file === undefined ? undefined : { file, block: Number(block) };
}

/** What is counted; every method is called often. */
export interface CacheObserver {
  /**
   * A reader comes to a block: `hit` when it is cached, `shared` when another reader is fetching it, `miss` when this one
   * fetches it, `bypass` when this one fetches it and it can't be cached.
   */
  entered(outcome: BlockOutcome): void;
  /** Bytes were read from the cache. */
  served(bytes: number): void;
  /** Bytes were fetched from the storage. */
  fetched(bytes: number): void;
  evicted(blocks: number): void;
  failed(reason: CacheFailure): void;
  /** Passes what gives the bytes that are taken of the limit. */
  opened(cache: { readonly limit: number; used(): number }): void;
}

export type BlockOutcome = "hit" | "shared" | "miss" | "bypass";

/** `damaged`: a block did not have its checksum or its length. */
export type CacheFailure = "read" | "write" | "index" | "damaged";
