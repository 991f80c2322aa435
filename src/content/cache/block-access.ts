/** A reader's access to a block, from where its bytes come from. */
export interface BlockAccess {
  /**
   * Fills the buffer, or a part of it, with the bytes at a position in the block, which is before its end. One call at a
   * time. Rejects with `BlockLost` when the block can't be read this way any more.
   */
  read(into: Uint8Array, at: number): Promise<number>;

  /**
   * Ends the access.
   *
   * @param isDone whether the reader has read what it wanted
   */
  leave(isDone: boolean): Promise<void>;
}

/** The bytes have to come from elsewhere: from another look at the cache, or directly from the storage. */
export class BlockLost extends Error {
  override readonly name = "BlockLost";
  readonly from: "again" | "storage";

  constructor(from: "again" | "storage", options?: ErrorOptions) {
    super("the block is lost", options);
    this.from = from;
  }
}
