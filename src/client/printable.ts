/**
 * Characters that move the cursor of a terminal, or colour, hide or reorder the text around them: control characters,
 * formats (direction marks and characters without width among them), separators of lines, letters without a shape.
 */
const unsafeCharacter = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;
const everyUnsafeCharacter = new RegExp(unsafeCharacter, "gu");

export function hasUnsafeCharacter(text: string): boolean {
  return unsafeCharacter.test(text);
}

/** Replaces each unsafe character. */
export function replaceUnsafe(text: string, replace: (character: string) => string): string {
  return text.replace(everyUnsafeCharacter, replace);
}

/** Makes text from a server safe to print: unsafe characters become escapes such as `\x1b`. */
export function visible(text: string): string {
  return replaceUnsafe(text.toWellFormed(), (character) => {
    const code = character.codePointAt(0)!.toString(16);
    return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
  });
}

/** Characters of a message; the paths of a system and the names of a server fit in. */
const maxMessageLength = 2_000;

/** A message that may quote a server: safe to print, and cut when the server sends a long text. */
export function printable(message: string): string {
  const shown = visible(message.slice(0, maxMessageLength));
  return message.length > maxMessageLength ? `${shown}…` : shown;
}
