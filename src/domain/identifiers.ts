const maxBytes = 256;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The rule of `isIdentifier` in words. */
export const identifierRule = "1 to 256 bytes of UTF-8 without control characters";

/** Identifiers and names of principals are opaque: any text of 1 to 256 UTF-8 bytes without control characters. */
export function isIdentifier(text: unknown): text is string {
  return (
    typeof text === "string" &&
    text.length > 0 &&
    text.length <= maxBytes &&
    Buffer.byteLength(text) <= maxBytes &&
    text.isWellFormed() &&
    !controlCharacter.test(text)
  );
}

/** A client token is the text of a UUID, of any version and in any case. */
export function isClientToken(text: string): boolean {
  return uuid.test(text);
}
