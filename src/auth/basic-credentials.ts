import { isIdentifier } from "../domain/identifiers.ts";

/** A user name and a password. */
export interface BasicCredentials {
  readonly name: string;
  readonly password: string;
}

/** `WWW-Authenticate` challenge for them, in UTF-8. */
export const basicChallenge = 'Basic realm="downlease", charset="UTF-8"';

const maxPasswordBytes = 1024;

/**
 * Reads an `Authorization: Basic` (RFC 7617). Undefined when it is not base64, not UTF-8, has no colon or has control
 * characters, or when the name or the password is too long. Both are normalized (NFC), because keyboards differ in how
 * they compose letters.
 */
export function readBasic(authorization: string): BasicCredentials | undefined {
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization) ?? [];
  if (encoded === undefined) return undefined;
  const text = utf8(Buffer.from(encoded, "base64"))?.normalize("NFC");
  const colon = text?.indexOf(":") ?? -1;
  if (text === undefined || colon < 1) return undefined;
  const [name, password] = [text.slice(0, colon), text.slice(colon + 1)];
  return isIdentifier(name) && isPassword(password) ? { name, password } : undefined;
}

/** At most 1024 bytes without control characters, which basic authentication can't transport. */
export function isPassword(text: string): boolean {
  return Buffer.byteLength(text) <= maxPasswordBytes && !/\p{Cc}/u.test(text);
}

/** Whether an `Authorization` has this scheme, well-formed or not. */
export function isBasic(authorization: string): boolean {
  return /^basic( |$)/i.test(authorization);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function utf8(bytes: Buffer): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}
