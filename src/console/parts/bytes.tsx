import prettyBytes from "pretty-bytes";

/** A size as the command line writes it, for example `1.23 GiB`. */
export function formatBytes(count: number | bigint): string {
  return prettyBytes(Math.round(Number(count)), { binary: true });
}
