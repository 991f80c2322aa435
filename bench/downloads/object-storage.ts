import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Certificate } from "../../test/support/certificates.ts";
import { startNginx } from "../nginx.ts";
import type { BenchLibrary } from "./library.ts";

export interface ObjectStorage {
  /** URL. */
  readonly endpoint: string;
  readonly bucket: string;
  stop(): Promise<void>;
}

/**
 * Starts nginx as a store that speaks as much of S3 as it takes to read a library: it sends objects as it sends files,
 * with their ETags, ranges and conditions, and lists with fixed answers. Nothing sends a file with less CPU.
 */
export async function startObjectStorage(
  library: BenchLibrary,
  directory: string,
  tls?: Certificate,
): Promise<ObjectStorage> {
  const bucket = basename(library.root);
  const listings = await listingsOf(library, bucket);
  const nginx = await startNginx({
    root: dirname(library.root),
    sendfile: "on",
    directory,
    tls,
    http: `
      map $args $is_list { default 0; ~list-type=2 1; }
      map $arg_prefix $listing {
        ${Object.entries(listings)
          .map(([prefix, text]) => `"${prefix}" '${text}';`)
          .join("\n")}
      }`,
    location: "default_type application/xml; if ($is_list) { return 200 $listing; }",
  });
  const scheme = tls === undefined ? "http" : "https";
  return { endpoint: `${scheme}://127.0.0.1:${nginx.port}`, bucket, stop: nginx.stop };
}

/** Answers to lists, by their prefixes as they are in requests. */
async function listingsOf({ root, path }: BenchLibrary, bucket: string): Promise<Record<string, string>> {
  const item = dirname(path);
  const library = dirname(item);
  const objects = await Promise.all(
    [`${item}/.item.json`, path].map(async (key) => {
      const { mtime, size } = await stat(join(root, key));
      const etag = `&quot;${Math.floor(mtime.getTime() / 1000).toString(16)}-${size.toString(16)}&quot;`;
      const fields = { Key: key, LastModified: mtime.toISOString(), ETag: etag, Size: String(size) };
      return element("Contents", { ...fields, StorageClass: "STANDARD" });
    }),
  );
  const listing = (content: string) =>
    `<?xml version="1.0" encoding="UTF-8"?>${element("ListBucketResult", { Name: bucket, IsTruncated: "false" }, content)}`;
  return {
    default: listing(""),
    "": listing(element("CommonPrefixes", { Prefix: `${library}/` })),
    [encodeURIComponent(`${library}/`)]: listing(objects.join("")),
    [encodeURIComponent(`${item}/`)]: listing(objects.join("")),
  };
}

function element(name: string, fields: Readonly<Record<string, string>>, more = ""): string {
  const content = Object.entries(fields).map(([field, text]) => `<${field}>${text}</${field}>`);
  return `<${name}>${content.join("")}${more}</${name}>`;
}
