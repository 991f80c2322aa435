import { LRUCache } from "lru-cache";
import { BrokenManifest, type Checksums, checkManifestSize, parseManifest } from "../manifest.ts";
import {
  BrokenMetadata,
  checkMetadataSize,
  type Declared,
  type Metadata,
  parseMetadata,
} from "../metadata.ts";
import type { Listed, S3Bucket, SmallObject } from "./bucket.ts";

/** Bytes of objects that are remembered, of each kind. */
const rememberedBytes = 32 * 1024 * 1024;
/** What remembering an object takes besides. */
const overheadBytes = 200;

/** The reason is for the operator. */
export interface Broken {
  readonly broken: string;
}

/** Reads metadata and manifests, each only when it has changed. */
export class SmallObjects {
  readonly #bucket: S3Bucket;
  readonly #metadata = new LRUCache<string, Declared | Broken>({ maxSize: rememberedBytes });
  readonly #manifests = new LRUCache<string, Checksums | Broken>({ maxSize: rememberedBytes });

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
  }

  /** What a metadata object declares; nothing when there is none, or no longer. */
  async metadata(listed: Listed | undefined): Promise<Metadata | Broken> {
    if (listed === undefined) return {};
    const { modifiedMs } = listed;
    const found = await this.#read(this.#metadata, listed, BrokenMetadata, ({ size, bytes }) => {
      checkMetadataSize(size);
      return parseMetadata(bytes!);
    });
    if (found === undefined) return {};
    return "broken" in found ? found : { ...found, modifiedMs };
  }

  /** What a manifest tells; nothing when it is gone. */
  async checksums(listed: Listed): Promise<Checksums | Broken> {
    const found = await this.#read(this.#manifests, listed, BrokenManifest, ({ size, bytes }) => {
      checkManifestSize(size);
      return parseManifest(bytes!);
    });
    return found ?? new Map();
  }

  async #read<T extends object>(
    known: LRUCache<string, T | Broken>,
    { key, etag }: Listed,
    brokenClass: new (message: string) => Error,
    parse: (object: SmallObject) => T,
  ): Promise<T | Broken | undefined> {
    const atHand = known.get(`${etag} ${key}`);
    if (atHand !== undefined) return atHand;
    const object = await this.#bucket.read(key, mostBytes);
    if (object === "changed") return undefined;
    if (object === "denied") return { broken: "it may not be read" };
    const result = orBroken(brokenClass, () => parse(object));
    // It may have changed since it was listed.
    const size = overheadBytes + Math.min(object.size, mostBytes);
    known.set(`${object.etag} ${key}`, result, { size });
    return result;
  }
}

/** More than any of them may have. */
const mostBytes = 4 * 1024 * 1024;

function orBroken<T>(brokenClass: new (message: string) => Error, parse: () => T): T | Broken {
  try {
    return parse();
  } catch (reason) {
    if (!(reason instanceof brokenClass)) throw reason;
    return { broken: reason.message };
  }
}
