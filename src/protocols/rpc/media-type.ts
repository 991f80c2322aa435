/** A content type without its parameters, in lower case where it has any. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return "";
  const end = contentType.indexOf(";");
  return end < 0 ? contentType : contentType.slice(0, end).trim().toLowerCase();
}
