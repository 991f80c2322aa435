import { type ChecksumAlgorithm, ContentChangedError, type ContentFile } from "../domain/content-source.ts";
import type { Digests } from "../domain/preparation-store.ts";
import type { Hasher } from "./hasher.ts";
import { DirectHashing } from "./hashing.ts";

/** Larger files are hashed by the thread, which may have to be started first. */
export const directBytes = 1024 * 1024;

export interface Reading {
  /** Told of bytes that were read. */
  onRead(bytes: number): void;
  /** Ends the reading; its reason is what the reading rejects with. */
  readonly signal: AbortSignal;
}

/**
 * Reads a file once and gives its checksums. Memory does not depend on its size.
 *
 * Rejects with what the reader rejects with, HasherDied or HashingFailed.
 */
export async function checksumsOf(
  file: ContentFile,
  algorithms: ReadonlySet<ChecksumAlgorithm>,
  hasher: Hasher,
  { onRead, signal }: Reading,
): Promise<Digests> {
  const all = [...new Set<ChecksumAlgorithm>(["SHA256", ...algorithms])];
  const { size } = file;
  const hashing = size <= directBytes ? new DirectHashing(all, size) : hasher.begin(all, size);
  try {
    const reader = file.reader();
    let left = size;
    while (left > 0) {
      const buffer = await hashing.buffer();
      const wanted = Math.min(left, buffer.byteLength);
      let filled = 0;
      while (filled < wanted) {
        signal.throwIfAborted();
        const bytes = await reader.read(buffer.subarray(filled, wanted));
        if (bytes === 0) throw new ContentChangedError("the file is shorter than it was");
        filled += bytes;
        onRead(bytes);
      }
      hashing.write(buffer, filled);
      left -= filled;
    }
    const digests = await hashing.digests();
    signal.throwIfAborted();
    return Object.fromEntries(all.map((algorithm, index) => [algorithm, digests[index]!])) as Digests;
  } finally {
    hashing.drop();
  }
}
