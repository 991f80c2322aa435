/**
 * Headers, names and values in turn, of answers that a browser could show as a page: what REST and the admin paths
 * say with a body. An answer without a body has nothing to protect and is spared them, keep-alives above all.
 *
 * @param isEncrypted whether callers come by TLS, and must not be led astray to clear text later
 */
export function pageHeaders(isEncrypted: boolean): readonly string[] {
  return [
    ...notSniffed,
    // Nothing in an answer is to be run, loaded or framed, whatever texts of callers stand in it.
    ...["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
    // Paths have ids in them, and browsers that show JSON make its links clickable.
    ...["referrer-policy", "no-referrer"],
    // Holds for `<img>`, `<script>` and their like, not for what CORS lets a page fetch.
    ...["cross-origin-resource-policy", "same-origin"],
    ...(isEncrypted ? ["strict-transport-security", "max-age=31536000"] : []),
  ];
}

/**
 * For answers over Connect and gRPC-Web. They need no more: they come only to POST, so that no page can embed them,
 * and with content types that no page can send to another origin without asking first.
 */
export const notSniffed = ["x-content-type-options", "nosniff"] as const;
