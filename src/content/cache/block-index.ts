import { DatabaseSync, type StatementSync } from "node:sqlite";
import { setTimeout as delay } from "node:timers/promises";
import { addressOf, type BlockAddress, nameOf } from "./blocks.ts";
import { isBusy, isDamage } from "./sqlite-errors.ts";

/** Another layout gets another number; a cache of another one is discarded. */
const layout = 1;

const schema = `
  CREATE TABLE blocks (
    file TEXT NOT NULL,
    block INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- A CRC-32 for each piece, of four bytes.
    checksums BLOB NOT NULL,
    -- On the clock of "usage".
    used INTEGER NOT NULL,
    -- The process that is removing it.
    evictor TEXT,
    PRIMARY KEY (file, block)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX by_use ON blocks (used);
  -- One row. The bytes are those of all blocks and those that processes have reserved; the clock counts uses.
  CREATE TABLE usage (bytes INTEGER NOT NULL, clock INTEGER NOT NULL) STRICT;
  INSERT INTO usage VALUES (0, 0);
  CREATE TABLE processes (name TEXT PRIMARY KEY, reserved INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${layout};
`;

/** How long a write waits for those of other processes. */
const maxWaitMs = 2_000;
const pauseMs = 5;

/** A block in the index. */
export interface IndexedBlock {
  readonly bytes: number;
  readonly checksums: Uint32Array;
}

/** The index was written by another release, or is no index. */
export class ForeignIndex extends Error {
  override readonly name = "ForeignIndex";
}

/**
 * Which blocks are cached, and how many bytes they take: an SQLite file that all processes of a cache directory share.
 * Reads are done at once, in a few microseconds. Writes wait for those of other processes, and reject with the driver's
 * error when that takes long.
 *
 * The file is never synchronized with the disk: after a power loss it may be damaged or behind the blocks, which then are
 * not used.
 */
export class BlockIndex implements Disposable {
  readonly #db: DatabaseSync;
  readonly #process: string;
  readonly #statements = new Map<string, StatementSync>();
  /** Used since the last write that recorded uses, in order. */
  readonly #touched = new Map<string, BlockAddress>();

  /**
   * @param path of the file, which is created
   * @param process name of this process among those that share it
   * @throws ForeignIndex
   */
  constructor(path: string, process: string) {
    this.#process = process;
    this.#db = new DatabaseSync(path, { timeout: maxWaitMs });
    try {
      this.#prepare();
    } catch (error) {
      this.#db.close();
      throw isDamage(error) ? new ForeignIndex("not an index", { cause: error }) : error;
    }
    // From here on waiting must not stop the process.
    this.#db.exec("PRAGMA busy_timeout = 0");
  }

  #prepare(): void {
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
    this.#transaction(() => {
      const { user_version: version } = this.#db.prepare("PRAGMA user_version").get()!;
      const { count } = this.#db.prepare("SELECT count(*) AS count FROM sqlite_schema").get()!;
      if (version === 0 && count === 0) this.#db.exec(schema);
      else if (version !== layout) throw new ForeignIndex(`layout ${version}`);
      this.#db.prepare("INSERT INTO processes VALUES (?, 0)").run(this.#process);
    });
  }

  find({ file, block }: BlockAddress): IndexedBlock | undefined {
    const row = this.#sql("SELECT bytes, checksums FROM blocks WHERE file = ? AND block = ?").get(
      file,
      block,
    );
    if (row === undefined) return undefined;
    const { buffer, byteOffset, byteLength } = row.checksums as Uint8Array<ArrayBuffer>;
    const checksums = new Uint32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    return { bytes: Number(row.bytes), checksums };
  }

  /** The first block of a file from `block` on that is cached. */
  next({ file, block }: BlockAddress): number | undefined {
    const row = this.#sql("SELECT min(block) AS block FROM blocks WHERE file = ? AND block >= ?").get(
      file,
      block,
    );
    return (row?.block as number | null) ?? undefined;
  }

  /** Bytes of all blocks, and those that are reserved. */
  get usedBytes(): number {
    return Number(this.#sql("SELECT bytes FROM usage").get()?.bytes);
  }

  /** Notes that a block is used. Recorded by the next write. */
  touch(address: BlockAddress): void {
    const name = nameOf(address);
    this.#touched.delete(name);
    this.#touched.set(name, address);
  }

  get hasTouched(): boolean {
    return this.#touched.size > 0;
  }

  /** Records uses. */
  recordUses(): Promise<void> {
    return this.#write(() => {});
  }

  /**
   * Reserves room for a block, when there is any. Else marks the blocks that were not used for the longest time as about
   * to be removed, enough of them, and returns them: the caller removes their files, calls `removed` and tries again.
   * Empty when there are none. One call at a time, until the files are removed.
   */
  reserve(bytes: number, limit: number, mayEvict: boolean): Promise<"reserved" | readonly BlockAddress[]> {
    return this.#write(() => {
      const lacking = this.usedBytes + bytes - limit;
      if (lacking > 0) return mayEvict ? this.#chooseVictims(lacking) : [];
      this.#changeReserved(bytes);
      this.#changeUsed(bytes);
      return "reserved";
    });
  }

  /** Gives up what was reserved. */
  release(bytes: number): Promise<void> {
    return this.#write(() => {
      this.#changeReserved(-bytes);
      this.#changeUsed(-bytes);
    });
  }

  /** Turns what was reserved into a block, whose file is in its place. */
  add({ file, block }: BlockAddress, { bytes, checksums }: IndexedBlock): Promise<void> {
    return this.#write(() => {
      this.#changeReserved(-bytes);
      const insert = this.#sql("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?, ?, NULL)");
      const sums = new Uint8Array(
        checksums.buffer as ArrayBuffer,
        checksums.byteOffset,
        checksums.byteLength,
      );
      const { changes } = insert.run(file, block, bytes, sums, this.#tick());
      // Another process has been faster.
      if (changes === 0) this.#changeUsed(-bytes);
    });
  }

  /** Forgets blocks whose files are gone. */
  removed(addresses: readonly BlockAddress[]): Promise<void> {
    return this.#write(() => {
      const remove = this.#sql("DELETE FROM blocks WHERE file = ? AND block = ? RETURNING bytes");
      for (const { file, block } of addresses) {
        const row = remove.get(file, block);
        if (row !== undefined) this.#changeUsed(-Number(row.bytes));
      }
    });
  }

  /**
   * Forgets processes that have ended and what they had reserved; returns the blocks that they were removing.
   *
   * @param isAlive whether a process lives, by its name
   */
  forgetEnded(isAlive: (process: string) => boolean): Promise<readonly BlockAddress[]> {
    return this.#write(() => {
      const names = this.#sql("SELECT name FROM processes")
        .all()
        .map(({ name }) => String(name));
      const ended = names.filter((name) => name !== this.#process && !isAlive(name));
      const remove = this.#sql("DELETE FROM processes WHERE name = ?");
      for (const name of ended) remove.run(name);
      this.#db.exec(
        "UPDATE usage SET bytes = (SELECT total(bytes) FROM blocks) + (SELECT total(reserved) FROM processes)",
      );
      return this.#sql("SELECT file, block FROM blocks WHERE evictor NOT IN (SELECT name FROM processes)")
        .all()
        .map(asAddress);
    });
  }

  /** All blocks whose files' digests start with these digits. */
  below(prefix: string): BlockAddress[] {
    const all = this.#sql("SELECT file, block FROM blocks WHERE file >= ? AND file < ?");
    return all.all(prefix, `${prefix}g`).map(asAddress);
  }

  async close(): Promise<void> {
    await this.#write(() => {
      const { reserved } = this.#sql("SELECT reserved FROM processes WHERE name = ?").get(this.#process)!;
      this.#changeUsed(-Number(reserved));
      this.#sql("DELETE FROM processes WHERE name = ?").run(this.#process);
    }).catch(() => {});
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close();
  }

  #chooseVictims(bytes: number): BlockAddress[] {
    // Those of this process have stayed because they could not be removed; they are tried again.
    const oldest = this.#sql(
      "SELECT file, block, bytes FROM blocks WHERE evictor IS NULL OR evictor = ? ORDER BY used",
    );
    const victims: BlockAddress[] = [];
    let freed = 0;
    for (const row of oldest.iterate(this.#process)) {
      if (freed >= bytes || victims.length === maxVictims) break;
      victims.push(asAddress(row));
      freed += Number(row.bytes);
    }
    const mark = this.#sql("UPDATE blocks SET evictor = ? WHERE file = ? AND block = ?");
    for (const { file, block } of victims) mark.run(this.#process, file, block);
    return victims;
  }

  #changeUsed(bytes: number): void {
    this.#sql("UPDATE usage SET bytes = bytes + ?").run(bytes);
  }

  #changeReserved(bytes: number): void {
    this.#sql("UPDATE processes SET reserved = reserved + ? WHERE name = ?").run(bytes, this.#process);
  }

  #tick(): number {
    return Number(this.#sql("UPDATE usage SET clock = clock + 1 RETURNING clock").get()!.clock);
  }

  #recordTouched(): void {
    if (this.#touched.size === 0) return;
    const update = this.#sql("UPDATE blocks SET used = ? WHERE file = ? AND block = ?");
    for (const { file, block } of this.#touched.values()) update.run(this.#tick(), file, block);
    this.#touched.clear();
  }

  /** Runs work in a transaction, after the uses until now are recorded. */
  async #write<T>(work: () => T): Promise<T> {
    const giveUpAt = performance.now() + maxWaitMs;
    for (;;) {
      try {
        return this.#transaction(() => {
          this.#recordTouched();
          return work();
        });
      } catch (error) {
        if (!isBusy(error) || performance.now() > giveUpAt) throw error;
      }
      await delay(pauseMs);
    }
  }

  #sql(text: string): StatementSync {
    const prepared = this.#statements.get(text) ?? this.#db.prepare(text);
    this.#statements.set(text, prepared);
    return prepared;
  }

  #transaction<T>(work: () => T): T {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#db.exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}

/** Blocks that are removed for the sake of one. */
const maxVictims = 64;

function asAddress({ file, block }: Record<string, unknown>): BlockAddress {
  return addressOf(`${file}-${block}`)!;
}
