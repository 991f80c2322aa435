const longestName = 256;

/**
 * Whether a text can be the name of a principal: 1 to 256 bytes of UTF-8 without control characters. A principal is its
 * name, by whatever means it is proven.
 */
export function isPrincipalName(text: unknown): text is string {
  return (
    typeof text === "string" &&
    text !== "" &&
    text.isWellFormed() &&
    !/\p{Cc}/u.test(text) &&
    Buffer.byteLength(text) <= longestName
  );
}
