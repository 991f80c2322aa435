/**
 * Everything that depends on how ioredis works inside, not only on its documentation. A test pins the version that this
 * was written for and measured with, and says what to look at before the version changes.
 */
import { Command, type Redis } from "ioredis";

/** A reply as the parser of ioredis delivers it. */
export type RawReply = Buffer | (Buffer | number)[];

/**
 * A command that is encoded already and calls back with its raw reply. It needs no promise, timer or conversion: with
 * those of ioredis a heartbeat of a batch costs this process a quarter more CPU time (`bench/redis.ts`).
 */
export class RawCommand extends Command {
  readonly #key: string;
  readonly #encoded: string;

  /**
   * @param key decides about the node of a cluster
   * @param encoded in RESP
   */
  constructor(
    name: string,
    key: string,
    encoded: string,
    replied: (reply: RawReply) => void,
    failed: (error: Error) => void,
  ) {
    super(name);
    this.#key = key;
    this.#encoded = encoded;
    // ioredis reports the end of a command to its diagnostics channel when the promise of the command settles, which
    // never happens here. It leaves alone what is traced already.
    this.isTraced = true;
    this.resolve = replied as (reply: unknown) => void;
    this.reject = failed;
  }

  override toWritable(_stream?: object): string {
    return this.#encoded;
  }

  override getKeys(): string[] {
    return [this.#key];
  }

  /** The caller has a time limit of its own. */
  override setTimeout(): void {}
}

let writes = 0;

// The constructor of ioredis would make a promise for each command, with functions that settle it. The method is private.
Object.assign(RawCommand.prototype, { initPromise() {} });

/** A command that remembers where it was written. A cluster may write it more than once, to several nodes. */
export class TracedCommand extends RawCommand {
  /** The stream of the connection that it was written to last; undefined until then. */
  stream: object | undefined;
  /** Greater than that of any command that was written before. */
  writtenAt = 0;

  override toWritable(stream?: object): string {
    this.stream = stream;
    this.writtenAt = ++writes;
    return super.toWritable(stream);
  }
}

/** The slot of a cluster that has a key. */
export function slotOf(key: string): number {
  const ignore = () => {};
  return new RawCommand("", key, "", ignore, ignore).getSlot();
}

const maxCommandsPerWrite = 128;

/**
 * Sends the commands of one turn of the event loop as one text with one system call, on this connection and every later
 * one. ioredis writes each command by itself, which costs more than all the rest of it; its own auto-pipelining costs
 * less, but waits for the answers before it sends more (measured by `bench/redis.ts`).
 */
export function coalesceWrites(redis: Redis): Redis {
  return redis.on("connect", () => {
    const { stream } = redis;
    const write = stream.write.bind(stream);
    let commands = "";
    let count = 0;
    const flush = () => {
      // A stream that has ended in the meantime accepts nothing more; the commands are rejected with the connection.
      if (commands !== "" && stream.writable) write(commands);
      commands = "";
      count = 0;
    };
    stream.write = (chunk: string | Uint8Array) => {
      if (typeof chunk === "string") {
        if (commands === "") setImmediate(flush);
        commands += chunk;
        // A turn has no end while more than a thousand connections keep sending (libuv).
        if (++count === maxCommandsPerWrite) flush();
        return true;
      }
      flush();
      return write(chunk);
    };
  });
}

/**
 * ioredis sends ASKING ahead of a command that follows a moving slot, and drops its promise. When the node dies at that
 * moment the rejection has no handler, which would end this process; the command itself fails as it should.
 */
export function handleAsking(node: Redis): void {
  const asking = node.asking.bind(node);
  node.asking = () => {
    const sent = asking();
    sent.catch(() => {});
    return sent;
  };
}
