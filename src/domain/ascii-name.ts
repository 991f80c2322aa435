/** Bytes of a name in ASCII: with what programs append to it, it still fits into a file system. */
const maxBytes = 240;

/**
 * The name of a file for clients that understand no other characters than those of ASCII, or get quotes and backslashes
 * wrong: these are percent-encoded, so that different names stay different, and can be decoded. The end of a long name is
 * kept, because it says what kind of file it is. Undefined for a name that all clients understand.
 */
export function asciiName(name: string): string | undefined {
  if (/^[ !#-[\]-~]*$/.test(name)) return undefined;
  const characters = [...name].map((character) =>
    /[ -~]/.test(character) && !/["\\]/.test(character) ? character : encodeURIComponent(character),
  );
  const end = /\.[\w.-]{1,20}$/.exec(name)?.[0] ?? "";
  let length = end.length;
  const begin: string[] = [];
  for (const character of characters.slice(0, characters.length - end.length)) {
    length += character.length;
    if (length > maxBytes) break;
    begin.push(character);
  }
  return begin.join("") + end;
}
