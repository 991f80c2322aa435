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
import { limits, type S3Place, s3Client, signingClient } from "./client.ts";
import type { Body } from "./http/body.ts";
import { Connections } from "./http/connections.ts";
import { openBody } from "./open-body.ts";

/** An object as listings show it. */
export interface ListedObject {
  /** Without the prefix of the source. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
  /** With its quotes. Identifies the content, and is not always an MD5 of it. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  /** Whether the storage keeps a checksum of all bytes, by an algorithm of `checksumDigits`. */
  readonly hasChecksum: boolean;
}

/** A page of a listing. */
export interface Listing {
  readonly objects: readonly ListedObject[];
  /** The parts of keys up to the next `/`, with it. */
  readonly folders: readonly string[];
}

/** An object that is read whole. */
export interface SmallObject extends Pick<ListedObject, "size" | "etag"> {
  /** Unset when there are too many to read. */
  readonly bytes?: Uint8Array;
}

/** Why an object is not given, in normal operation: it is gone or another one now, or may not be read. */
export type ObjectRefusal = "changed" | "denied";

/**
 * The requests that a source makes to its bucket; keys are relative to the prefix. Rejects with a ServiceError
 * `downlease.content.unavailable` when the storage does not answer within a few seconds, or refuses.
 */
export class S3Bucket {
  readonly #client: S3Client;
  readonly #signer: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #connections = new Connections(limits);

  constructor(place: S3Place) {
    this.#client = s3Client(place);
    this.#signer = signingClient(this.#client, place);
    this.#bucket = place.bucket;
    this.#prefix = place.prefix;
  }

  /**
   * Lists the keys that start with `below`, page by page.
   */
  async *list(
    below: string,
    { delimiter, skipAfter, maxKeys }: ListOptions = {},
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
            ...(maxKeys !== undefined && { MaxKeys: maxKeys }),
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

  /** Reads an object as it is now; only its size when it has more than `maxBytes`. */
  async read(key: string, maxBytes: number): Promise<SmallObject | ObjectRefusal> {
    return this.#unlessRefused(
      this.#send(async (abortSignal) => {
        const input = { Bucket: this.#bucket, Key: this.#prefix + key };
        const answer = await this.#client.send(new GetObjectCommand(input), { abortSignal });
        const { ContentLength: size = 0, ETag: etag = "" } = answer;
        const body = answer.Body!;
        if (size <= maxBytes) return { size, etag, bytes: await body.transformToByteArray() };
        (body as Readable).destroy();
        return { size, etag };
      }),
    );
  }

  /**
   * Starts reading a range of an object.
   *
   * @param abort ends the request until there is a body
   */
  async open(
    { key, etag, size }: Pick<ListedObject, "key" | "etag" | "size">,
    { start, end }: ByteRange,
    abort: AbortSignal,
  ): Promise<Body | ObjectRefusal> {
    return this.#unlessRefused(
      this.#send(async (abortSignal) => {
        const range = `bytes=${start}-${end}`;
        const input = { Bucket: this.#bucket, Key: this.#prefix + key, IfMatch: etag, Range: range };
        const command = new GetObjectCommand(input);
        const { answer, body } = await openBody(this.#client, this.#connections, command, abortSignal);
        const { ContentRange, ETag } = answer;
        // Not every compatible store knows If-Match and ranges, and those that don't ignore them.
        if (ETag === etag && ContentRange === `bytes ${start}-${end}/${size}`) return body;
        body.destroy();
        if (ETag !== etag) return "changed";
        throw new Error(`the storage answered ${range} of ${size} bytes with ${ContentRange}`);
      }, abort),
    );
  }

  /** The storage's metadata of an object, checksums included. */
  async head({
    key,
    etag,
  }: Pick<ListedObject, "key" | "etag">): Promise<HeadObjectCommandOutput | ObjectRefusal> {
    return this.#unlessRefused(
      this.#send(async (abortSignal) => {
        const input = { Bucket: this.#bucket, Key: this.#prefix + key, IfMatch: etag };
        const command = new HeadObjectCommand({ ...input, ChecksumMode: "ENABLED" });
        const answer = await this.#client.send(command, { abortSignal });
        return answer.ETag === etag ? answer : "changed";
      }),
    );
  }

  /** A URI by which anyone can read the object for so many seconds. */
  presign(key: string, disposition: string, versionId: string | undefined, seconds: number): Promise<string> {
    const command = new GetObjectCommand({
      Bucket: this.#bucket,
      Key: this.#prefix + key,
      ResponseContentDisposition: disposition,
      ...(versionId !== undefined && { VersionId: versionId }),
    });
    return this.#send(() => getSignedUrl(this.#signer, command, { expiresIn: seconds }));
  }

  #listingOf({ Contents = [], CommonPrefixes = [], EncodingType }: ListObjectsV2CommandOutput): Listing {
    const decode = EncodingType === "url" ? decodeKey : (key: string) => key;
    const keyOf = (key: string | undefined) => decode(key ?? "").slice(this.#prefix.length);
    return {
      objects: Contents.map(({ Key, Size = 0, ETag = "", LastModified, ...summary }) => ({
        key: keyOf(Key),
        size: Size,
        etag: ETag,
        modifiedMs: LastModified?.getTime() ?? 0,
        hasChecksum:
          summary.ChecksumType === "FULL_OBJECT" &&
          (summary.ChecksumAlgorithm ?? []).some((algorithm) => Object.hasOwn(checksumDigits, algorithm)),
      })),
      folders: CommonPrefixes.map(({ Prefix }) => keyOf(Prefix)),
    };
  }

  /** @param abort ends the request at any time; the time limit of `#send` ends with the answer */
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

  async #unlessRefused<T>(answer: Promise<T>): Promise<T | ObjectRefusal> {
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
  /** With `/`, keys below folders are not listed. */
  readonly delimiter?: "/";
  /** Gets the last key of each page but the last one, and may return a prefix: the rest of its keys is skipped. */
  readonly skipAfter?: (lastKey: string) => string | undefined;
  /** Keys on a page. */
  readonly maxKeys?: number;
}

/** The last code point: no key that is in use and starts with the same prefix sorts after prefix and this. */
const lastCharacter = "\u{10ffff}";

/** Errors that concern one object. A denied listing or a missing bucket must not look like a missing object. */
const refusals: Readonly<Record<string, ObjectRefusal | undefined>> = {
  NoSuchKey: "changed",
  PreconditionFailed: "changed",
  InvalidRange: "changed",
  AccessDenied: "denied",
};

/** The credentials of the service may not read an object. */
export class ReadDenied extends Error {
  override readonly name = "ReadDenied";
}

/** Whether the request may succeed later: the storage did not answer, was too busy, or failed itself. */
export function isTemporary({ cause }: ServiceError): boolean {
  if (cause instanceof ReadDenied) return false;
  const status = cause instanceof S3ServiceException ? cause.$metadata.httpStatusCode : undefined;
  return status === undefined || status === 429 || status >= 500;
}

/** Answers to HEAD have no body, so the name of the error is derived from the status. */
function nameOf({ name, $metadata }: S3ServiceException): string {
  const hasNone = name === "Unknown" || name === "NotFound";
  return (hasNone && byStatus[$metadata.httpStatusCode ?? 0]) || name;
}

const byStatus: Readonly<Record<number, string | undefined>> = {
  403: "AccessDenied",
  404: "NoSuchKey",
  412: "PreconditionFailed",
};

/** As in forms, a blank is a plus sign. A key that can't be decoded becomes a name that is not content. */
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", "%20"));
  } catch {
    return "\ufffd";
  }
}
