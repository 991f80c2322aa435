import type { HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { LRUCache } from "lru-cache";
import type { ChecksumAlgorithm, ItemFile } from "../../domain/content-source.ts";
import { type ChecksumsByName, checksumDigits } from "../manifest.ts";
import { mapInParallel } from "../parallel.ts";
import type { S3Bucket } from "./bucket.ts";
import type { ListedFile } from "./listings.ts";

/** Objects whose checksums are cached. */
const maxCached = 10_000;

type FileChecksums = NonNullable<ItemFile["checksums"]>;

/**
 * Checksums that the storage keeps with objects. They are requested once for each version of an object, and only where
 * the listing shows a checksum of all bytes: most objects have a CRC, or a checksum of the checksums of their parts. An
 * ETag is no checksum, even when it looks like an MD5.
 */
export class StoredChecksums {
  readonly #bucket: S3Bucket;
  readonly #cache = new LRUCache<string, FileChecksums>({ max: maxCached });

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
  }

  async of(files: readonly ListedFile[]): Promise<ChecksumsByName> {
    const withChecksum = files.filter(({ object }) => object.hasChecksum);
    const pairs = await mapInParallel(withChecksum, async (file): Promise<[string, FileChecksums]> => {
      return [file.name, await this.#ofFile(file)];
    });
    return new Map(pairs.filter(([, checksums]) => Object.keys(checksums).length > 0));
  }

  async #ofFile({ object }: ListedFile): Promise<FileChecksums> {
    const version = `${object.etag} ${object.key}`;
    const cached = this.#cache.get(version);
    if (cached !== undefined) return cached;
    const head = await this.#bucket.head(object);
    if (typeof head === "string") return {};
    const checksums = checksumsOf(head);
    this.#cache.set(version, checksums);
    return checksums;
  }
}

/** In lower-case hexadecimal; the storage has them in base64. */
function checksumsOf(head: HeadObjectCommandOutput): FileChecksums {
  if (head.ChecksumType !== "FULL_OBJECT") return {};
  const pairs = (Object.keys(checksumDigits) as ChecksumAlgorithm[]).flatMap((algorithm) => {
    const checksum = Buffer.from(head[`Checksum${algorithm}`] ?? "", "base64").toString("hex");
    return checksum.length === checksumDigits[algorithm] ? [[algorithm, checksum] as const] : [];
  });
  return Object.fromEntries(pairs);
}
