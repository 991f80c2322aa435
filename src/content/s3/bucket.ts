import type { Readable } from "node:stream";
import {
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  type S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { ByteRange } from "../../domain/content-source.ts";
import { ServiceError } from "../../domain/errors.ts";
import { checksumDigits } from "../manifest.ts";
import { limits, type S3Place, s3Client } from "./client.ts";

/** What a listing tells of an object. */
export interface Listed {
  /** Without the prefix of the source. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** With its quotes. It names a content, and is not always an MD5 of it. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  /** Whether the storage knows a checksum of all bytes, of a kind that is told to callers. */
  readonly hasChecksum: boolean;
}

export interface Listing {
  readonly objects: readonly Listed[];
  /** What comes before the next `/`, with it. */
  readonly folders: readonly string[];
}

export interface SmallObject extends Pick<Listed, "size" | "etag"> {
  /** Unset when there are too many. */
  readonly bytes?: Uint8Array;
}

/** Normal refusals to give an object: it is gone or another one now, or may not be read. */
export type Refusal = "changed" | "denied";

/**
 * The requests that a source makes of its bucket; keys are those below the prefix. Rejects with a ServiceError
 * `downlease.content.unavailable` when the storage does not answer within a few seconds, or refuses.
 */
export class S3Bucket {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(place: S3Place) {
    this.#client = s3Client(place);
    this.#bucket = place.bucket;
    this.#prefix = place.prefix;
  }

  /**
   * The keys that start with `below`, page by page.
   *
   * @param delimiter with `/`, what is below folders is not listed
   * @param skipAfter is told the last key of a page that is not the last one, and gives a prefix of keys of which no
   *   more are wanted
   */
  async *list(
    below: string,
    { delimiter, skipAfter, most }: ListOptions = {},
  ): AsyncGenerator<Listing, void, undefined> {
    let from: { ContinuationToken?: string; StartAfter?: string } = {};
    for (;;) {
      const page: ListObjectsV2CommandOutput = await this.#send((abortSignal) =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + below,
            // XML can't carry every character that a key may have.
            EncodingType: "url",
            ...(delimiter !== undefined && { Delimiter: delimiter }),
            ...(most !== undefined && { MaxKeys: most }),
            ...from,
          }),
          { abortSignal },
        ),
      );
      const listing = this.#listingOf(page);
      yield listing;
      if (!page.IsTruncated || page.NextContinuationToken === undefined) return;
      const last = listing.objects.at(-1)?.key;
      const skipped = last === undefined ? undefined : skipAfter?.(last);
      from =
        skipped === undefined
          ? { ContinuationToken: page.NextContinuationToken }
          : { StartAfter: `${this.#prefix}${skipped}${lastCharacter}` };
    }
  }

  /** All that is in an object now; only its size when there are more than so many bytes. */
  async read(key: string, mostBytes: number): Promise<SmallObject | Refusal> {
    return this.#unlessRefused(
      this.#send(async (abortSignal) => {
        const input = { Bucket: this.#bucket, Key: this.#prefix + key };
        const answer = await this.#client.send(new GetObjectCommand(input), { abortSignal });
        const { ContentLength: size = 0, ETag: etag = "" } = answer;
        const body = answer.Body!;
        if (size <= mostBytes) return { size, etag, bytes: await body.transformToByteArray() };
        (body as Readable).destroy();
        return { size, etag };
      }),
    );
  }

  /**
   * Begins to read a range of an object.
   *
   * @param abort ends the request at any time; what is left of the body is then lost
   */
  async open(
    { key, etag, size }: Pick<Listed, "key" | "etag" | "size">,
    { start, end }: ByteRange,
    abort: AbortSignal,
  ): Promise<Readable | Refusal> {
    return this.#unlessRefused(
      this.#send(async (abortSignal) => {
        const range = `bytes=${start}-${end}`;
        const input = { Bucket: this.#bucket, Key: this.#prefix + key, IfMatch: etag, Range: range };
        const answer = await this.#client.send(new GetObjectCommand(input), { abortSignal });
        const { ContentRange, ETag } = answer;
        const body = answer.Body as Readable;
        // Not every compatible store knows If-Match and ranges, and those that don't ignore them.
        if (ETag === etag && ContentRange === `bytes ${start}-${end}/${size}`) return body;
        body.destroy();
        if (ETag !== etag) return "changed";
        throw new Error(`the storage answered ${range} of ${size} bytes with ${ContentRange}`);
      }, abort),
    );
  }

  /** What else the storage tells of an object. */
  async head({ key, etag }: Pick<Listed, "key" | "etag">): Promise<HeadObjectCommandOutput | Refusal> {
    return this.#unlessRefused(
      this.#send(async (abortSignal) => {
        const input = { Bucket: this.#bucket, Key: this.#prefix + key, IfMatch: etag };
        const command = new HeadObjectCommand({ ...input, ChecksumMode: "ENABLED" });
        const answer = await this.#client.send(command, { abortSignal });
        return answer.ETag === etag ? answer : "changed";
      }),
    );
  }

  /** A URI by which everybody can read the object for so many seconds. */
  presign(key: string, disposition: string, versionId: string | undefined, seconds: number): Promise<string> {
    const command = new GetObjectCommand({
      Bucket: this.#bucket,
      Key: this.#prefix + key,
      ResponseContentDisposition: disposition,
      ...(versionId !== undefined && { VersionId: versionId }),
    });
    return this.#send(() => getSignedUrl(this.#client, command, { expiresIn: seconds }));
  }

  #listingOf({ Contents = [], CommonPrefixes = [], EncodingType }: ListObjectsV2CommandOutput): Listing {
    const decode = EncodingType === "url" ? decoded : (key: string) => key;
    const keyOf = (key: string | undefined) => decode(key ?? "").slice(this.#prefix.length);
    return {
      objects: Contents.map(({ Key, Size = 0, ETag = "", LastModified, ...told }) => ({
        key: keyOf(Key),
        size: Size,
        etag: ETag,
        modifiedMs: LastModified?.getTime() ?? 0,
        hasChecksum:
          told.ChecksumType === "FULL_OBJECT" &&
          (told.ChecksumAlgorithm ?? []).some((algorithm) => Object.hasOwn(checksumDigits, algorithm)),
      })),
      folders: CommonPrefixes.map(({ Prefix }) => keyOf(Prefix)),
    };
  }

  /** @param abort besides the time limit, which no longer holds once there is an answer */
  async #send<T>(request: (abortSignal: AbortSignal) => Promise<T>, abort?: AbortSignal): Promise<T> {
    const limit = new AbortController();
    const timer = setTimeout(
      () => limit.abort(new Error(`no answer within ${limits.requestMs} ms`)),
      limits.requestMs,
    );
    try {
      return await request(abort ? AbortSignal.any([limit.signal, abort]) : limit.signal);
    } catch (reason) {
      throw new ServiceError("downlease.content.unavailable", [], reason);
    } finally {
      clearTimeout(timer);
    }
  }

  async #unlessRefused<T>(answer: Promise<T>): Promise<T | Refusal> {
    try {
      return await answer;
    } catch (error) {
      const reason = error instanceof ServiceError ? error.cause : undefined;
      const refusal = reason instanceof S3ServiceException ? refusals[nameOf(reason)] : undefined;
      if (refusal === undefined) throw error;
      return refusal;
    }
  }
}

export interface ListOptions {
  readonly delimiter?: "/";
  readonly skipAfter?: (lastKey: string) => string | undefined;
  /** Keys on a page. */
  readonly most?: number;
}

/** No key that starts with the same characters is later in the order of UTF-8, but for one that nobody uses. */
const lastCharacter = "\u{10ffff}";

/** A denied request and one for a bucket that is gone must not look like an object that is. */
const refusals: Readonly<Record<string, Refusal | undefined>> = {
  NoSuchKey: "changed",
  PreconditionFailed: "changed",
  InvalidRange: "changed",
  AccessDenied: "denied",
};

/** Answers to HEAD have no body that would tell the error. */
function nameOf({ name, $metadata }: S3ServiceException): string {
  const hasNone = name === "Unknown" || name === "NotFound";
  return (hasNone && byStatus[$metadata.httpStatusCode ?? 0]) || name;
}

const byStatus: Readonly<Record<number, string | undefined>> = {
  403: "AccessDenied",
  404: "NoSuchKey",
  412: "PreconditionFailed",
};

/** As in forms, a blank is a plus sign. What can't be decoded is no content, and stays as it is. */
function decoded(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", "%20"));
  } catch {
    return "\ufffd";
  }
}
