import { Worker } from "node:worker_threads";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";
import type { HashReply, HashRequest } from "./hash-thread.ts";
import { type Hashing, HashingFailed } from "./hashing.ts";

/** Bytes that are transferred to the thread at a time. */
const bufferBytes = 1024 * 1024;
/** One is being filled, one hashed, one on its way. */
const buffersPerHashing = 3;

/** How long the thread may be idle before it ends and frees its 17 MiB. */
const idleMs = 10_000;
/** The buffers are outside of the thread's heap. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** The thread has died or was ended; nothing is wrong with the file that it was hashing. */
export class HasherDied extends Error {
  override readonly name = "HasherDied";
}

/**
 * Hashes on a thread of its own, so that no call waits for large files. The thread starts with the first job and ends
 * when there has been none for a while; one that dies is replaced with the next job, and its jobs reject with
 * `HasherDied`.
 */
export class Hasher {
  readonly #script: URL;
  readonly #idleMs: number;
  #idle: NodeJS.Timeout | undefined;
  #worker: Worker | undefined;
  #isClosed = false;
  #lastJob = 0;
  readonly #hashings = new Map<number, ThreadHashing>();

  /** For tests: the script of the thread, and after how long without work it ends. */
  constructor(script = new URL("./hash-thread.ts", import.meta.url), idleLimitMs = idleMs) {
    this.#script = script;
    this.#idleMs = idleLimitMs;
  }

  /**
   * @param size bytes that will come; no more memory is allocated than they need
   * @throws HasherDied when it is closed
   */
  begin(algorithms: readonly ChecksumAlgorithm[], size: number): Hashing {
    if (this.#isClosed) throw new HasherDied("the hasher is closed");
    clearTimeout(this.#idle);
    const worker = this.#worker ?? this.#start();
    this.#worker = worker;
    const job = ++this.#lastJob;
    const hashing = new ThreadHashing({
      size: Math.min(size, bufferBytes),
      send: (request, transferred) => worker.postMessage({ ...request, job }, transferred),
      ended: () => {
        this.#hashings.delete(job);
        if (this.#hashings.size === 0) this.#endLater(worker);
      },
    });
    this.#hashings.set(job, hashing);
    worker.postMessage({ type: "begin", job, algorithms } satisfies HashRequest);
    return hashing;
  }

  /** Ends the thread; running hashings reject. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  #endLater(worker: Worker): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      // The next job starts another thread, rather than use one that is about to end.
      if (this.#worker === worker) this.#worker = undefined;
      void worker.terminate();
    }, this.#idleMs).unref();
  }

  #start(): Worker {
    const worker = new Worker(this.#script, { name: "hashing", resourceLimits });
    let failure: unknown;
    worker.on("message", (reply: HashReply) => this.#hashings.get(reply.job)?.take(reply));
    worker.on("error", (reason) => {
      failure = reason;
    });
    worker.on("exit", (code) => {
      // A thread that ended because it was idle; there may be another one by now.
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      const died = new HasherDied(`the hashing thread ended with ${code}`, { cause: failure });
      for (const hashing of [...this.#hashings.values()]) hashing.fail(died);
    });
    return worker;
  }
}

type Message = HashRequest extends infer R ? (R extends HashRequest ? Omit<R, "job"> : never) : never;

interface HashingParts {
  /** Bytes of a buffer. */
  readonly size: number;
  send(request: Message, transferred?: ArrayBuffer[]): void;
  ended(): void;
}

/** One file on its way through the thread, in a bounded number of buffers that are used in turn. */
class ThreadHashing implements Hashing {
  readonly #parts: HashingParts;
  readonly #free: ArrayBuffer[] = [];
  #buffers = 0;
  /** The call that waits for a buffer. */
  #waiting: PromiseWithResolvers<ArrayBuffer> | undefined;
  readonly #digests = Promise.withResolvers<readonly string[]>();
  #failure: Error | undefined;

  constructor(parts: HashingParts) {
    this.#parts = parts;
    // It may fail while no caller waits for the digests; the next call rejects.
    this.#digests.promise.catch(() => {});
  }

  async buffer(): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#failure !== undefined) throw this.#failure;
    const free = this.#free.pop();
    if (free !== undefined) return new Uint8Array(free);
    if (this.#buffers < buffersPerHashing) {
      this.#buffers++;
      return new Uint8Array(new ArrayBuffer(this.#parts.size));
    }
    this.#waiting = Promise.withResolvers();
    return new Uint8Array(await this.#waiting.promise);
  }

  write({ buffer }: Uint8Array<ArrayBuffer>, length: number): void {
    if (this.#failure === undefined) this.#parts.send({ type: "bytes", buffer, length }, [buffer]);
  }

  digests(): Promise<readonly string[]> {
    if (this.#failure === undefined) this.#parts.send({ type: "end" });
    return this.#digests.promise;
  }

  drop(): void {
    if (this.#failure !== undefined) return;
    this.#parts.send({ type: "drop" });
    this.fail(new HasherDied("the hashing was dropped"));
  }

  /** For the hasher: takes a message of the thread. */
  take(reply: HashReply): void {
    switch (reply.type) {
      case "free":
        if (this.#waiting === undefined) this.#free.push(reply.buffer);
        else this.#waiting.resolve(reply.buffer);
        this.#waiting = undefined;
        return;
      case "digests":
        this.#parts.ended();
        this.#failure = new Error("the hashing has ended");
        this.#digests.resolve(reply.digests);
        return;
      case "failed":
        this.fail(new HashingFailed(reply.message));
    }
  }

  /** For the hasher: no more messages will come. */
  fail(reason: Error): void {
    this.#parts.ended();
    this.#failure ??= reason;
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
    this.#digests.reject(reason);
  }
}
