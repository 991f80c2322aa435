import type { HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import { LRUCache } from "lru-cache";
import type { ChecksumAlgorithm, ItemFile } from "../../domain/content-source.ts";
import { mapInBatches } from "../batches.ts";
import { type Checksums, checksumDigits } from "../manifest.ts";
import type { S3Bucket } from "./bucket.ts";
import type { ListedFile } from "./listings.ts";

/** Objects of which it is remembered. */
const remembered = 10_000;

type Known = NonNullable<ItemFile["checksums"]>;

/**
 * Checksums that the storage keeps with objects. It is asked, once for each version of an object, only for those of
 * which the listing tells that there is one over all bytes: most have a CRC, or one that is made of those of parts. An
 * ETag is none, even when it looks like an MD5.
 */
export class StoredChecksums {
  readonly #bucket: S3Bucket;
  readonly #known = new LRUCache<string, Known>({ max: remembered });

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
  }

  async of(files: readonly ListedFile[]): Promise<Checksums> {
    const telling = files.filter(({ object }) => object.hasChecksum);
    const found = await mapInBatches(telling, async (file): Promise<[string, Known]> => {
      return [file.name, await this.#ofFile(file)];
    });
    return new Map(found.filter(([, checksums]) => Object.keys(checksums).length > 0));
  }

  async #ofFile({ object }: ListedFile): Promise<Known> {
    const name = `${object.etag} ${object.key}`;
    const atHand = this.#known.get(name);
    if (atHand !== undefined) return atHand;
    const head = await this.#bucket.head(object);
    if (typeof head === "string") return {};
    const checksums = checksumsOf(head);
    this.#known.set(name, checksums);
    return checksums;
  }
}

/** In lower-case hexadecimal; the storage tells them in base64. */
function checksumsOf(head: HeadObjectCommandOutput): Known {
  if (head.ChecksumType !== "FULL_OBJECT") return {};
  const found = (Object.keys(checksumDigits) as ChecksumAlgorithm[]).flatMap((algorithm) => {
    const checksum = Buffer.from(head[`Checksum${algorithm}`] ?? "", "base64").toString("hex");
    return checksum.length === checksumDigits[algorithm] ? [[algorithm, checksum] as const] : [];
  });
  return Object.fromEntries(found);
}
