import { createHash, getHashes, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { FileInfo } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import {
  ChecksumInfo_ChecksumAlgorithm as Algorithm,
  type ChecksumInfo,
} from "../../gen/content/library/item/v1/item_file_pb.ts";

/** Names of `node:crypto`. */
export type ChecksumAlgorithm = "md5" | "sha1" | "sha256" | "sha512";

/** Lower-case hexadecimal. */
export type Checksums = ReadonlyMap<ChecksumAlgorithm, string>;

const algorithms: Readonly<Partial<Record<Algorithm, ChecksumAlgorithm>>> = {
  // As documented by vSphere: what is not told is SHA-1.
  [Algorithm.UNSPECIFIED]: "sha1",
  [Algorithm.SHA1]: "sha1",
  [Algorithm.MD5]: "md5",
  [Algorithm.SHA256]: "sha256",
  [Algorithm.SHA512]: "sha512",
};

/** Every checksum that the server tells of a file. Algorithms that are not known here are left out. */
export function checksumsOf({ checksums, checksumInfo }: FileInfo): Checksums {
  const told: ChecksumInfo[] = [...(checksumInfo === undefined ? [] : [checksumInfo]), ...checksums];
  return new Map(
    told.flatMap(({ algorithm = Algorithm.UNSPECIFIED, checksum }) => {
      const name = algorithms[algorithm];
      return name === undefined ? [] : [[name, checksum.toLowerCase()] as const];
    }),
  );
}

/** Several digests of the same bytes. Those that are switched off here (FIPS) are left out. */
export class Digests {
  readonly #hashes: readonly (readonly [ChecksumAlgorithm, Hash])[];

  constructor(wanted: Iterable<ChecksumAlgorithm>) {
    const known = getHashes();
    this.#hashes = [...wanted]
      .filter((name) => known.includes(name))
      .map((name) => [name, createHash(name)] as const);
  }

  update(bytes: Uint8Array): void {
    for (const [, hash] of this.#hashes) hash.update(bytes);
  }

  /** The first checksum that the bytes do not have; undefined when they have all. To be asked once. */
  mismatch(expected: Checksums): ChecksumAlgorithm | undefined {
    const wrong = this.#hashes.find(([name, hash]) => hash.digest("hex") !== expected.get(name));
    return wrong?.[0];
  }
}

/** Whether a file on the disk has these checksums. */
export async function fileHas(path: string, expected: Checksums, signal: AbortSignal): Promise<boolean> {
  const digests = new Digests(expected.keys());
  const bytes = createReadStream(path, { highWaterMark: 1024 * 1024, signal });
  try {
    for await (const chunk of bytes) digests.update(chunk);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
  return digests.mismatch(expected) === undefined;
}
