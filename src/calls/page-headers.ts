/**
 * Headers, names and values in turn, of responses that a browser could show as a page: those of REST and the admin
 * paths that have a body. A response without a body, such as a keep-alive's, has nothing to protect and does without
 * them.
 *
 * @param isEncrypted whether the service uses TLS; browsers then refuse clear text for it later
 */
export function pageHeaders(isEncrypted: boolean): readonly string[] {
  return [
    ...notSniffed,
    // A response may repeat texts of callers: nothing in it may be run, loaded or framed.
    ...["content-security-policy", "default-src 'none'; frame-ancestors 'none'"],
    // Paths contain ids, and browsers that show JSON make its links clickable.
    ...["referrer-policy", "no-referrer"],
    // Applies to `<img>`, `<script>` and the like, not to what CORS lets a page fetch.
    ...["cross-origin-resource-policy", "same-origin"],
    ...(isEncrypted ? ["strict-transport-security", "max-age=31536000"] : []),
  ];
}

/**
 * For responses over Connect and gRPC-Web. They need no other header: they answer only POST, so no page can embed them,
 * and only content types that no page can send to another origin without a preflight.
 */
export const notSniffed = ["x-content-type-options", "nosniff"] as const;
