/** The hashing thread, and the messages that it exchanges with `hasher.ts`. */
import { parentPort } from "node:worker_threads";
import type { ChecksumAlgorithm } from "../domain/content-source.ts";
import { Hashes } from "./hashing.ts";

/** Messages to the thread. The other side chooses the number of a job. */
export type HashRequest =
  | { readonly type: "begin"; readonly job: number; readonly algorithms: readonly ChecksumAlgorithm[] }
  /** The first `length` bytes of the buffer, which is transferred and comes back. */
  | { readonly type: "bytes"; readonly job: number; readonly buffer: ArrayBuffer; readonly length: number }
  | { readonly type: "end"; readonly job: number }
  | { readonly type: "drop"; readonly job: number };

/** Messages from the thread. */
export type HashReply =
  /** A buffer comes back. */
  | { readonly type: "free"; readonly job: number; readonly buffer: ArrayBuffer }
  /** In the order of the algorithms, in lower-case hexadecimal. */
  | { readonly type: "digests"; readonly job: number; readonly digests: readonly string[] }
  | { readonly type: "failed"; readonly job: number; readonly message: string };

const jobs = new Map<number, Hashes>();

function handle(request: HashRequest): void {
  const { job } = request;
  const hashes = jobs.get(job);
  switch (request.type) {
    case "begin":
      jobs.set(job, new Hashes(request.algorithms));
      return;
    case "bytes": {
      const { buffer, length } = request;
      hashes?.update(new Uint8Array(buffer, 0, length));
      reply({ type: "free", job, buffer }, [buffer]);
      return;
    }
    case "end":
      jobs.delete(job);
      reply({ type: "digests", job, digests: hashes?.digests() ?? [] });
      return;
    case "drop":
      jobs.delete(job);
      return;
  }
}

function reply(message: HashReply, transferred: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transferred);
}

parentPort!.on("message", (request: HashRequest) => {
  try {
    handle(request);
  } catch (reason) {
    // An algorithm that this machine's OpenSSL forbids, for example.
    jobs.delete(request.job);
    reply({ type: "failed", job: request.job, message: String(reason) });
  }
});
