import type { ContentSource } from "../domain/content-source.ts";
import type { Finding } from "../domain/finding.ts";
import type { CacheOptions } from "./cache/cached-content-source.ts";
import type { DirectoryContentOptions } from "./directory/directory-content-source.ts";
import type { S3ContentOptions } from "./s3/s3-content-source.ts";

/** The options of each kind of content source. */
interface OptionsByKind {
  readonly directory: DirectoryContentOptions;
  readonly s3: S3ContentOptions & { readonly cache?: CacheOptions | undefined };
}

type Kind = keyof OptionsByKind;

/** A content source as it is configured: its kind, and the options of that kind. */
export type ContentOptions = { [K in Kind]: { readonly kind: K } & OptionsByKind[K] }[Kind];

/** How each kind of content source is opened. Only the one in use is loaded: the SDK of S3 takes 0.1 s and 20 MB. */
const openers: { readonly [K in Kind]: (options: OptionsByKind[K]) => Promise<OpenContentSource> } = {
  async directory(options) {
    const { DirectoryContentSource } = await import("./directory/directory-content-source.ts");
    return DirectoryContentSource.open(options);
  },
  async s3({ cache, ...options }) {
    const { S3ContentSource } = await import("./s3/s3-content-source.ts").catch(explainMissingSdk);
    const source = await S3ContentSource.open(options);
    if (cache === undefined) return source;
    const { CachedContentSource } = await import("./cache/cached-content-source.ts");
    return CachedContentSource.open(source, { ...cache, warn: options.warn });
  },
};

/** Looks at the cache directory of a content source, if it has one. Rejects with what is wrong. */
export async function inspectContentCache(options: ContentOptions): Promise<Finding[]> {
  if (options.kind !== "s3" || options.cache === undefined) return [];
  const { inspectCache } = await import("./cache/inspect.ts");
  return inspectCache(options.cache);
}

/** The SDK is an optional dependency. */
function explainMissingSdk(error: unknown): never {
  const missing =
    error instanceof Error &&
    /^Cannot find package '(@aws-sdk\/[^']+|http-parser-js)'/.exec(error.message)?.[1];
  if (!missing) throw error;
  throw new Error(
    `content in S3 needs the package ${missing}, an optional dependency that is not installed: ` +
      "install downlease without --omit=optional",
    { cause: error },
  );
}

/** A content source that is open. */
export type OpenContentSource = ContentSource & Partial<AsyncDisposable>;

/**
 * Opens a content source and reads it once. Rejects with an Error for the operator when it can't be used.
 */
export function openContentSource({ kind, ...options }: ContentOptions): Promise<OpenContentSource> {
  return (openers[kind] as (options: object) => Promise<OpenContentSource>)(options);
}
