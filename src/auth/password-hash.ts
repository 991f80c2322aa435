import { type Argon2Parameters, argon2, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

/** A stored password, parsed from the PHC string format (https://github.com/P-H-C/phc-string-format). */
export type PasswordHash = Argon2idHash | ScryptHash;

interface ScryptHash {
  readonly function: "scrypt";
  /** Binary logarithm of the cost. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

interface Argon2idHash {
  readonly function: "argon2id";
  /** Memory, in KiB. */
  readonly m: number;
  readonly t: number;
  readonly p: number;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

/**
 * Of the parameters that OWASP rates as equal, those that take 32 MiB: 128 MiB for each concurrent login would be a lot
 * for a small container (https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt).
 */
const newHash = { function: "scrypt", ln: 15, r: 8, p: 3 } as const;
const newBytes = { salt: 16, hash: 32 };

/** Limits of one computation. Higher costs are mistakes, or meant to keep the server busy. */
const maxMemoryBytes = 128 * 1024 * 1024;
const maxPasses = 16;

const scryptAsync = promisify<
  string,
  Buffer,
  number,
  { N: number; r: number; p: number; maxmem: number },
  Buffer
>(scrypt);
const argon2Async = promisify<"argon2id", Argon2Parameters, Buffer>(argon2);

/** A hash of the password with a new salt, as a PHC string. */
export async function hashPassword(password: string): Promise<string> {
  const { ln, r, p } = newHash;
  const salt = randomBytes(newBytes.salt);
  const hash = await compute({ ...newHash, salt, hash: Buffer.alloc(newBytes.hash) }, password);
  return `$scrypt$ln=${ln},r=${r},p=${p}$${base64(salt)}$${base64(hash)}`;
}

/** Takes the same time for a wrong password as for the right one. */
export async function verifyPassword(stored: PasswordHash, password: string): Promise<boolean> {
  return timingSafeEqual(await compute(stored, password), stored.hash);
}

/** @throws Error that says what is wrong, without repeating the text */
export function parsePasswordHash(text: string): PasswordHash {
  const [empty, name, ...fields] = text.split("$");
  if (empty !== "" || (name !== "scrypt" && name !== "argon2id")) {
    throw new Error("the password must be a PHC string of scrypt or argon2id, '$scrypt$…' or '$argon2id$…'");
  }
  if (name === "argon2id" && fields.shift() !== "v=19") throw new Error("argon2id must be of version 19");
  const [costs = "", salt = "", hash = ""] = fields;
  const bytes = { salt: bytesOf(salt, 8, "salt"), hash: bytesOf(hash, 16, "hash") };
  if (fields.length !== 3) throw new Error("a PHC string has parameters, a salt and a hash");
  const parsed = name === "scrypt" ? scryptOf(costs, bytes) : argon2idOf(costs, bytes);
  if (parsed === undefined) throw new Error(`the parameters of ${name} are malformed or cost too much`);
  return parsed;
}

type Bytes = Pick<PasswordHash, "salt" | "hash">;

function scryptOf(costs: string, bytes: Bytes): ScryptHash | undefined {
  const [ln = 0, r = 0, p = 0] = numbersOf(/^ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})$/, costs);
  const isSane = ln >= 1 && r >= 1 && p >= 1 && p <= maxPasses && 128 * 2 ** ln * r <= maxMemoryBytes;
  return isSane ? { function: "scrypt", ln, r, p, ...bytes } : undefined;
}

function argon2idOf(costs: string, bytes: Bytes): Argon2idHash | undefined {
  const [m = 0, t = 0, p = 0] = numbersOf(/^m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})$/, costs);
  const isSane = t >= 1 && t <= maxPasses && p >= 1 && m >= 8 * p && m * 1024 <= maxMemoryBytes;
  return isSane ? { function: "argon2id", m, t, p, ...bytes } : undefined;
}

function numbersOf(pattern: RegExp, text: string): number[] {
  return (pattern.exec(text) ?? []).slice(1).map(Number);
}

function compute(stored: PasswordHash, password: string): Promise<Buffer> {
  const { salt, hash } = stored;
  if (stored.function === "scrypt") {
    const { ln, r, p } = stored;
    return scryptAsync(password, salt, hash.length, { N: 2 ** ln, r, p, maxmem: 2 * maxMemoryBytes });
  }
  const { m, t, p } = stored;
  return argon2Async("argon2id", {
    message: password,
    nonce: salt,
    parallelism: p,
    tagLength: hash.length,
    memory: m,
    passes: t,
  });
}

/** Base64 without padding, as PHC strings use it. */
function base64(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}

function bytesOf(text: string, minBytes: number, what: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  // Node ignores characters that are not base64.
  if (base64(bytes) !== text || bytes.length < minBytes || bytes.length > 64) {
    throw new Error(`the ${what} must be ${minBytes} to 64 bytes in base64 without padding`);
  }
  return bytes;
}
