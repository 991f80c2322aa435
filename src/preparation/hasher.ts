import { Worker } from "node:worker_threads";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";
import type { HashReply, HashRequest } from "./hash-thread.ts";
import { type Hashing, HashingFailed } from "./hashing.ts";

/** Bytes that are handed to the thread at a time. */
const bufferBytes = 1024 * 1024;
/** One is read into, one is hashed, one is on its way. */
const buffersPerHashing = 3;

/** After which the thread's 17 MiB are given back. */
const idleMs = 10_000;
/** What it hashes is outside of its heap. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** The thread has died, or was ended; nothing is wrong with what it was hashing. */
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

  /** @param script what runs in the thread, and `idle` when it ends without work; for tests */
  constructor(script = new URL("./hash-thread.ts", import.meta.url), idle = idleMs) {
    this.#script = script;
    this.#idleMs = idle;
  }

  /**
   * @param size bytes that will come, so that no more memory is taken than they need
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

  /** Ends the thread; what it was hashing rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  #endLater(worker: Worker): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      // The next job has a thread of its own at once, not one that is about to end.
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
      // One that was ended for want of work; there may be another by now.
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      const died = new HasherDied(`the hashing thread ended with ${code}`, { cause: failure });
      for (const hashing of [...this.#hashings.values()]) hashing.fail(died);
    });
    return worker;
  }
}

type Sent = HashRequest extends infer R ? (R extends HashRequest ? Omit<R, "job"> : never) : never;

interface HashingParts {
  /** Bytes of a buffer. */
  readonly size: number;
  send(request: Sent, transferred?: ArrayBuffer[]): void;
  ended(): void;
}

/** One file on its way through the thread. Buffers go round, a bounded number of them. */
class ThreadHashing implements Hashing {
  readonly #parts: HashingParts;
  readonly #free: ArrayBuffer[] = [];
  #buffers = 0;
  /** Whoever waits for a buffer. */
  #waiting: PromiseWithResolvers<ArrayBuffer> | undefined;
  readonly #digests = Promise.withResolvers<readonly string[]>();
  #failure: Error | undefined;

  constructor(parts: HashingParts) {
    this.#parts = parts;
    // It may fail while nobody waits for the end; who goes on with it is told.
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

  /** For the hasher: what the thread tells of it. */
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

  /** For the hasher: nothing will come any more. */
  fail(reason: Error): void {
    this.#parts.ended();
    this.#failure ??= reason;
    this.#waiting?.reject(reason);
    this.#waiting = undefined;
    this.#digests.reject(reason);
  }
}
