import { z } from "zod";
import { bytes, filePath, isHttpUrl, manual, type Rule, seconds } from "./fields.ts";

/** Eight blocks: one of 2 MiB is reserved for each fetch that is running. */
const minCacheBytes = 16 * 1024 ** 2;
const defaultCacheBytes = 10 * 1024 ** 3;
const defaultFreshMs = 10_000;

/** Where library items come from. */
export const contentFields = {
  content: z.object({
    root: filePath().optional().register(manual, {
      argument: "directory",
      help: "directory of library items",
      default: "examples/library in a checkout, else required without --s3-bucket",
    }),
  }),
  s3: z.object({
    bucket: z.string().refine(isBucket, "must be the name of a bucket").optional().register(manual, {
      argument: "name",
      help: "take library items from this bucket of S3 or of a compatible store instead of a directory",
      default: "unset",
    }),
    /** Empty, or ends with `/`. */
    prefix: z
      .string()
      .refine(isPrefix, "must be names with / between them, without empty ones, . and ..")
      .optional()
      .transform((prefix = "") => prefix.replace(/[^/]$/, "$&/"))
      .register(manual, {
        argument: "path",
        help: "path of the libraries in the bucket, for example images/released",
        default: "the whole bucket",
      }),
    endpoint: z
      .string()
      .refine(isEndpoint, "must be an http or https URL without credentials, query or fragment")
      .optional()
      .register(manual, {
        argument: "url",
        help: "URL of an S3-compatible store; buckets are paths below it",
        default: "AWS",
      }),
    publicEndpoint: z
      .string()
      .refine(isEndpoint, "must be an http or https URL without credentials, query or fragment")
      .optional()
      .register(manual, {
        argument: "url",
        help: "URL of the store as clients reach it, for the URLs that are signed for them; buckets are paths below it",
        default: "that of the service",
      }),
    region: z
      .string()
      .regex(/^[a-z0-9-]{1,63}$/i, "must be the name of a region")
      .optional()
      .register(manual, {
        argument: "name",
        help: "region of the bucket",
        default: "from AWS_REGION or the shared configuration; us-east-1 with --s3-endpoint",
      }),
  }),
  cache: z.object({
    dir: filePath().optional().register(manual, {
      argument: "directory",
      help: "cache files of the bucket in this directory, so that each is fetched once",
      default: "unset: nothing is cached",
    }),
    bytes: bytes(minCacheBytes).optional().register(manual, {
      argument: "size",
      help: "maximum size of the cache, such as 500GiB; what was not used for the longest time is removed",
      default: "10GiB with --cache-dir",
    }),
    freshMs: seconds(0, 86_400).optional().register(manual, {
      argument: "seconds",
      help: "how long the bucket is not asked again whether an item has changed; 0 to ask each time",
      default: "10 with --cache-dir",
    }),
  }),
};

type ContentRule = Rule<typeof contentFields>;
type Values = z.output<z.ZodObject<typeof contentFields>>;

const needsCacheDir = (
  path: ContentRule["path"],
  isUnset: (cache: Values["cache"]) => boolean,
): ContentRule => ({
  about: ["cacheDir", path],
  path,
  message: "must be left out without --cache-dir",
  holds: ({ cache }) => cache.dir !== undefined || isUnset(cache),
});

const needsBucket = (path: ContentRule["path"], isUnset: (s3: Values["s3"]) => boolean): ContentRule => ({
  about: ["s3Bucket", path],
  path,
  message: "must be left out without --s3-bucket",
  holds: ({ s3 }) => s3.bucket !== undefined || isUnset(s3),
});

export const contentRules: readonly ContentRule[] = [
  {
    about: ["contentRoot", "s3Bucket"],
    path: "contentRoot",
    message: "must be set, or --s3-bucket",
    holds: ({ content, s3 }) => content.root !== undefined || s3.bucket !== undefined,
  },
  {
    about: ["contentRoot", "s3Bucket"],
    path: "s3Bucket",
    message: "must be left out with --content-root",
    holds: ({ content, s3 }) => content.root === undefined || s3.bucket === undefined,
  },
  needsBucket("s3Prefix", ({ prefix }) => prefix === ""),
  needsBucket("s3Endpoint", ({ endpoint }) => endpoint === undefined),
  needsBucket("s3PublicEndpoint", ({ publicEndpoint }) => publicEndpoint === undefined),
  needsBucket("s3Region", ({ region }) => region === undefined),
  {
    about: ["cacheDir", "s3Bucket"],
    path: "cacheDir",
    message: "must be left out without --s3-bucket: files of a directory need no cache",
    holds: ({ cache, s3 }) => cache.dir === undefined || s3.bucket !== undefined,
  },
  needsCacheDir("cacheBytes", ({ bytes }) => bytes === undefined),
  needsCacheDir("cacheFreshSeconds", ({ freshMs }) => freshMs === undefined),
];

export function contentOf({
  content,
  s3: { bucket, prefix, endpoint, publicEndpoint, region },
  cache,
}: Values) {
  if (bucket === undefined) return { kind: "directory" as const, root: content.root! };
  const { dir, bytes: limit = defaultCacheBytes, freshMs = defaultFreshMs } = cache;
  const cached = dir !== undefined && { freshMs, cache: { path: dir, limit } };
  return { kind: "s3" as const, bucket, prefix, endpoint, publicEndpoint, region, ...cached };
}

/** A name, or the ARN of an access point. */
function isBucket(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i.test(text) || /^arn:[\x21-\x7e]{1,2000}$/.test(text);
}

function isPrefix(text: string): boolean {
  const names = text.replace(/\/$/, "").split("/");
  const isClean = names.every((name) => !["", ".", ".."].includes(name) && !/\p{Cc}/u.test(name));
  // S3 allows keys of 1024 bytes.
  return isClean && Buffer.byteLength(text) <= 512;
}

function isEndpoint(text: string): boolean {
  return /^https?:\/\//i.test(text) && isHttpUrl(text) && !/[?#]/.test(text);
}
