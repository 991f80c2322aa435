/** A copy that does not keep alive the larger text, or the buffer of a request, of which it may be a part. */
export function copyOf(text: string): string {
  return Buffer.from(text).toString();
}
