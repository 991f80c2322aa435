import { type ChecksumAlgorithm, ContentChangedError, type ContentFile } from "../domain/content-source.ts";
import type { Digests } from "../domain/preparation.ts";
import type { Hasher } from "./hasher.ts";
import { DirectHashing } from "./hashing.ts";

/** Bytes up to which a file is hashed where it is read. Larger ones are hashed by the thread, which may have to start. */
export const directBytes = 1024 * 1024;

export interface ReadingOptions {
  /** Called with the number of bytes after each read; the next one waits for what it returns. */
  onRead(bytes: number): Promise<void> | undefined;
  /** Aborts the reading, which then rejects with the signal's reason. */
  readonly signal: AbortSignal;
}

/**
 * Reads a file once and resolves with its checksums: SHA256 and those of the given algorithms. Memory does not depend on
 * its size. Rejects with the error of the reader, HasherDied or HashingFailed.
 */
export async function checksumsOf(
  file: ContentFile,
  algorithms: ReadonlySet<ChecksumAlgorithm>,
  hasher: Hasher,
  { onRead, signal }: ReadingOptions,
): Promise<Digests> {
  const all = [...new Set<ChecksumAlgorithm>(["SHA256", ...algorithms])];
  const { size } = file;
  const hashing = size <= directBytes ? new DirectHashing(all, size) : hasher.begin(all, size);
  try {
    const reader = file.reader();
    let left = size;
    while (left > 0) {
      const buffer = await hashing.buffer();
      const length = Math.min(left, buffer.byteLength);
      let filled = 0;
      while (filled < length) {
        signal.throwIfAborted();
        const bytes = await reader.read(buffer.subarray(filled, length));
        if (bytes === 0) throw new ContentChangedError("the file is shorter than it was");
        filled += bytes;
        await onRead(bytes);
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
