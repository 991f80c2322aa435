import { Worker } from "node:worker_threads";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";
import type { HashReply, HashRequest } from "./hash-thread.ts";

/** Bytes that are handed to the thread at a time. */
const bufferBytes = 1024 * 1024;
/** One is read into, one is hashed, one is on its way. */
const buffersPerHashing = 3;

/** What it hashes is outside of its heap. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

/** The thread has died, or was ended; nothing is wrong with what it was hashing. */
export class HasherDied extends Error {
  override readonly name = "HasherDied";
}

/** The thread can't hash what it was given. */
export class HashingFailed extends Error {
  override readonly name = "HashingFailed";
}

/**
 * Hashes on a thread of its own, so that no call waits for it. The thread starts with the first job and stays, because
 * starting it takes longer than most files; one that dies is replaced with the next job, and its jobs reject with
 * `HasherDied`.
 */
export class Hasher {
  readonly #script: URL;
  #worker: Worker | undefined;
  #isClosed = false;
  #lastJob = 0;
  readonly #hashings = new Map<number, Hashing>();

  /** @param script what runs in the thread; for tests */
  constructor(script = new URL("./hash-thread.ts", import.meta.url)) {
    this.#script = script;
  }

  /**
   * @param size bytes that will come, so that no more memory is taken than they need
   * @throws HasherDied when it is closed
   */
  begin(algorithms: readonly ChecksumAlgorithm[], size: number): Hashing {
    if (this.#isClosed) throw new HasherDied("the hasher is closed");
    this.#worker ??= this.#start();
    const worker = this.#worker;
    const job = ++this.#lastJob;
    const hashing = new Hashing({
      size: Math.min(size, bufferBytes),
      send: (request, transferred) => worker.postMessage({ ...request, job }, transferred),
      ended: () => this.#hashings.delete(job),
    });
    this.#hashings.set(job, hashing);
    worker.postMessage({ type: "begin", job, algorithms } satisfies HashRequest);
    return hashing;
  }

  /** Ends the thread; what it was hashing rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(this.#script, { name: "hashing", resourceLimits });
    let failure: unknown;
    worker.on("message", (reply: HashReply) => this.#hashings.get(reply.job)?.take(reply));
    worker.on("error", (reason) => {
      failure = reason;
    });
    worker.on("exit", (code) => {
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
export class Hashing {
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

  /** A buffer to fill: waits until the thread has caught up. One call at a time. */
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

  /** Hashes the first bytes of a buffer that `buffer` gave; it is not the caller's any more. */
  write({ buffer }: Uint8Array<ArrayBuffer>, length: number): void {
    if (this.#failure === undefined) this.#parts.send({ type: "bytes", buffer, length }, [buffer]);
  }

  /** The digests of all that was written, in the order of the algorithms, in lower-case hexadecimal. */
  digests(): Promise<readonly string[]> {
    if (this.#failure === undefined) this.#parts.send({ type: "end" });
    return this.#digests.promise;
  }

  /** Forgets what was written, if it has not ended. */
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
