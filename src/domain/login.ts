/** The rules of login sessions. */
import { hash, randomBytes } from "node:crypto";
import type { Login, LoginTerms } from "./login-store.ts";

const identifier = /^[0-9a-f]{32}$/;

/** An identifier that nobody can guess: 128 random bits. */
export function newLoginId(): string {
  return randomBytes(16).toString("hex");
}

/** Whether a text can be an identifier; anything may come as one. */
export function isLoginId(text: string): boolean {
  return identifier.test(text);
}

/**
 * What a store knows an identifier by, in hexadecimal, so that a copy of the store opens nothing. A plain digest does:
 * there are too many identifiers to try them.
 */
export function digestOf(text: string): string {
  return hash("sha256", text, "hex");
}

/** How long a login session that is used at `now` has left: the idle time, but never more than its lifetime allows. */
export function leftMs({ createdAt }: Pick<Login, "createdAt">, now: number, terms: LoginTerms): number {
  return Math.min(terms.idleMs, createdAt + terms.lifetimeMs - now);
}

/**
 * How long what was looked up may be taken for true, and a use that is not written down does no harm: a second, or a
 * tenth of the idle time if that is less.
 */
export function trustMs({ idleMs }: LoginTerms): number {
  return Math.min(1000, idleMs / 10);
}
