import { createHash, getHashes, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { FileInfo } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import {
  ChecksumInfo_ChecksumAlgorithm as Algorithm,
  type ChecksumInfo,
} from "../../gen/content/library/item/v1/item_file_pb.ts";

/** Algorithms by their names in `node:crypto`. */
export type HashAlgorithm = "md5" | "sha1" | "sha256" | "sha512";

/** Checksums in lower-case hexadecimal. */
export type Checksums = ReadonlyMap<HashAlgorithm, string>;

const algorithms: Readonly<Partial<Record<Algorithm, HashAlgorithm>>> = {
  // vSphere documents SHA-1 as the default.
  [Algorithm.UNSPECIFIED]: "sha1",
  [Algorithm.SHA1]: "sha1",
  [Algorithm.MD5]: "md5",
  [Algorithm.SHA256]: "sha256",
  [Algorithm.SHA512]: "sha512",
};

/** Every checksum that the server has for a file, except those of unknown algorithms. */
export function checksumsOf({ checksums, checksumInfo }: FileInfo): Checksums {
  const infos: ChecksumInfo[] = [...(checksumInfo === undefined ? [] : [checksumInfo]), ...checksums];
  return new Map(
    infos.flatMap(({ algorithm = Algorithm.UNSPECIFIED, checksum }) => {
      const name = algorithms[algorithm];
      return name === undefined ? [] : [[name, checksum.toLowerCase()] as const];
    }),
  );
}

/** Hashes bytes with several algorithms and compares the results. Algorithms that Node.js does not offer (FIPS) are left out. */
export class ChecksumVerifier {
  readonly #hashes: readonly (readonly [HashAlgorithm, Hash])[];

  constructor(algorithms: Iterable<HashAlgorithm>) {
    const available = getHashes();
    this.#hashes = [...algorithms]
      .filter((name) => available.includes(name))
      .map((name) => [name, createHash(name)] as const);
  }

  update(bytes: Uint8Array): void {
    for (const [, hash] of this.#hashes) hash.update(bytes);
  }

  /** The first algorithm whose checksum differs; undefined if all match. Call it once, after the last update. */
  mismatch(expected: Checksums): HashAlgorithm | undefined {
    const wrong = this.#hashes.find(([name, hash]) => hash.digest("hex") !== expected.get(name));
    return wrong?.[0];
  }
}

/** Whether a file on disk has these checksums. */
export async function fileHas(path: string, expected: Checksums, signal: AbortSignal): Promise<boolean> {
  const verifier = new ChecksumVerifier(expected.keys());
  const bytes = createReadStream(path, { highWaterMark: 1024 * 1024, signal });
  try {
    for await (const chunk of bytes) verifier.update(chunk);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return verifier.mismatch(expected) === undefined;
}
