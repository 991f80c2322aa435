import { z } from "zod";
import { isHttpUrl, manual, pathOf, type Rule } from "./fields.ts";

/** Where library items come from. */
export type ContentConfig =
  | { readonly kind: "directory"; readonly root: string }
  | {
      readonly kind: "s3";
      readonly bucket: string;
      /** Empty, or ends with `/`. */
      readonly prefix: string;
      /** URL of a compatible store; undefined for AWS. */
      readonly endpoint: string | undefined;
      readonly region: string | undefined;
    };

/** The settings of where library items come from, by name. */
export const contentFields = {
  contentRoot: pathOf().optional().register(manual, {
    argument: "directory",
    help: "directory of library items",
    default: "examples/library in a checkout, else required without --s3-bucket",
  }),
  s3Bucket: z.string().refine(isBucket, "must be the name of a bucket").optional().register(manual, {
    argument: "name",
    help: "take library items from this bucket of S3, or of a store like it, not from a directory",
    default: "unset",
  }),
  s3Prefix: z
    .string()
    .refine(isPrefix, "must be names with / between them, without empty ones, . and ..")
    .transform((prefix) => (prefix.endsWith("/") ? prefix : `${prefix}/`))
    .optional()
    .register(manual, {
      argument: "path",
      help: "where in the bucket the libraries are, for example images/released",
      default: "the whole bucket",
    }),
  s3Endpoint: z
    .string()
    .refine(isEndpoint, "must be an http or https URL without credentials, query or fragment")
    .optional()
    .register(manual, {
      argument: "url",
      help: "URL of a store that speaks S3, whose buckets are paths below it",
      default: "AWS",
    }),
  s3Region: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/i, "must be the name of a region")
    .optional()
    .register(manual, {
      argument: "name",
      help: "region of the bucket",
      default: "that of AWS_REGION or the shared configuration; us-east-1 with --s3-endpoint",
    }),
};

type Given = z.output<z.ZodObject<typeof contentFields>>;

const needsBucket = (name: "s3Prefix" | "s3Endpoint" | "s3Region"): Rule<Given> => ({
  about: ["s3Bucket", name],
  path: name,
  message: "must be left out without --s3-bucket",
  holds: (given) => given[name] === undefined || given.s3Bucket !== undefined,
});

/** Rules between settings. */
export const contentRules: readonly Rule<Given>[] = [
  {
    about: ["contentRoot", "s3Bucket"],
    path: "contentRoot",
    message: "must be set, or --s3-bucket",
    holds: (given) => given.contentRoot !== undefined || given.s3Bucket !== undefined,
  },
  {
    about: ["contentRoot", "s3Bucket"],
    path: "s3Bucket",
    message: "must be left out with --content-root",
    holds: (given) => given.contentRoot === undefined || given.s3Bucket === undefined,
  },
  needsBucket("s3Prefix"),
  needsBucket("s3Endpoint"),
  needsBucket("s3Region"),
];

export function contentConfig(given: Given): ContentConfig {
  const { contentRoot, s3Bucket, s3Prefix, s3Endpoint, s3Region } = given;
  if (s3Bucket === undefined) return Object.freeze({ kind: "directory", root: contentRoot! });
  return Object.freeze({
    kind: "s3",
    bucket: s3Bucket,
    prefix: s3Prefix ?? "",
    endpoint: s3Endpoint,
    region: s3Region,
  });
}

/** A name, or the ARN of an access point. */
function isBucket(text: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i.test(text) || /^arn:[\x21-\x7e]{1,2000}$/.test(text);
}

function isPrefix(text: string): boolean {
  const names = text.replace(/\/$/, "").split("/");
  const isClean = names.every((name) => !["", ".", ".."].includes(name) && !/\p{Cc}/u.test(name));
  // The storage allows keys of 1024 bytes.
  return isClean && Buffer.byteLength(text) <= 512;
}

function isEndpoint(text: string): boolean {
  return /^https?:\/\//i.test(text) && isHttpUrl(text) && !/[?#]/.test(text);
}
