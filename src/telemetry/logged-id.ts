const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * The id of a download session as logs have it: all sessions have UUIDs, which give no right. A caller may send any text in
 * the place of one, a secret among others; of that only the beginning is kept.
 */
export function loggedId(id: string): string {
  return uuid.test(id) ? id : beginningOf(id);
}

/** Enough of a text to recognize it, and never all of it. */
export function beginningOf(text: string): string {
  return `${text.slice(0, Math.min(8, text.length / 2))}…`;
}
