import { LRUCache } from "lru-cache";
import { BrokenManifest, type ChecksumsByName, checkManifestSize, parseManifest } from "../manifest.ts";
import {
  BrokenMetadata,
  checkMetadataSize,
  type Declaration,
  type Metadata,
  parseMetadata,
} from "../metadata.ts";
import type { ListedObject, S3Bucket, SmallObject } from "./bucket.ts";

/** Bytes of objects that are cached, of each kind. */
const cacheBytes = 32 * 1024 * 1024;
/** Bytes that a cached object takes besides its content. */
const overheadBytes = 200;

/** Why an object can't be used, for the operator. */
export interface Broken {
  readonly broken: string;
}

/** Reads metadata and manifests, each only when it has changed. */
export class SmallObjects {
  readonly #bucket: S3Bucket;
  readonly #metadata = new LRUCache<string, Declaration | Broken>({ maxSize: cacheBytes });
  readonly #manifests = new LRUCache<string, ChecksumsByName | Broken>({ maxSize: cacheBytes });

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
  }

  /** What a metadata object declares; nothing when there is none, or none any more. */
  async metadata(listed: ListedObject | undefined): Promise<Metadata | Broken> {
    if (listed === undefined) return {};
    const { modifiedMs } = listed;
    const declared = await this.#read(this.#metadata, listed, BrokenMetadata, ({ size, bytes }) => {
      checkMetadataSize(size);
      return parseMetadata(bytes!);
    });
    if (declared === undefined) return {};
    return "broken" in declared ? declared : { ...declared, modifiedMs };
  }

  /** The checksums in a manifest; none when it is gone. */
  async checksums(listed: ListedObject): Promise<ChecksumsByName | Broken> {
    const checksums = await this.#read(this.#manifests, listed, BrokenManifest, ({ size, bytes }) => {
      checkManifestSize(size);
      return parseManifest(bytes!);
    });
    return checksums ?? new Map();
  }

  async #read<T extends object>(
    cache: LRUCache<string, T | Broken>,
    { key, etag }: ListedObject,
    brokenClass: new (message: string) => Error,
    parse: (object: SmallObject) => T,
  ): Promise<T | Broken | undefined> {
    const cached = cache.get(`${etag} ${key}`);
    if (cached !== undefined) return cached;
    const object = await this.#bucket.read(key, maxObjectBytes);
    if (object === "changed") return undefined;
    if (object === "denied") return { broken: "it may not be read" };
    const result = orBroken(brokenClass, () => parse(object));
    // It may have changed since it was listed.
    const size = overheadBytes + Math.min(object.size, maxObjectBytes);
    cache.set(`${object.etag} ${key}`, result, { size });
    return result;
  }
}

/** As many as a manifest may have, which may be larger than metadata. */
const maxObjectBytes = 4 * 1024 * 1024;

function orBroken<T>(brokenClass: new (message: string) => Error, parse: () => T): T | Broken {
  try {
    return parse();
  } catch (reason) {
    if (!(reason instanceof brokenClass)) throw reason;
    return { broken: reason.message };
  }
}
