import { z } from "zod";
import { filePath, isHttpUrl, manual, type Rule } from "./fields.ts";

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
};

type ContentRule = Rule<typeof contentFields>;
type Values = z.output<z.ZodObject<typeof contentFields>>;

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
];

export function contentOf({ content, s3: { bucket, prefix, endpoint, publicEndpoint, region } }: Values) {
  if (bucket === undefined) return { kind: "directory" as const, root: content.root! };
  return { kind: "s3" as const, bucket, prefix, endpoint, publicEndpoint, region };
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
