/** The rules of login sessions. */
import { hash, randomBytes } from "node:crypto";
import type { Login, LoginTerms } from "./login-store.ts";

const identifier = /^[0-9a-f]{32}$/;

/** A new identifier: 128 random bits, which cannot be guessed. */
export function newLoginId(): string {
  return randomBytes(16).toString("hex");
}

const digest = /^[0-9a-f]{64}$/;

/** Whether a text has the form of the digest of an identifier. */
export function isLoginDigest(text: string): boolean {
  return digest.test(text);
}

/** Whether a text has the form of an identifier. */
export function isLoginId(text: string): boolean {
  return identifier.test(text);
}

/**
 * The digest, in hexadecimal, under which stores keep an identifier, so that a copy of the store is no use to log in. A
 * plain digest is enough: there are too many identifiers to try them.
 */
export function digestOf(text: string): string {
  return hash("sha256", text, "hex");
}

/** How long a login session that is used at `now` lives from then on: the idle time, limited by its lifetime. */
export function leftMs({ createdAt }: Pick<Login, "createdAt">, now: number, terms: LoginTerms): number {
  return Math.min(terms.idleMs, createdAt + terms.lifetimeMs - now);
}

/**
 * How long a process may rely on a login session that it has looked up, and how far the stored time of the last use may
 * lag behind: a second, or a tenth of the idle time if that is less.
 */
export function trustMs({ idleMs }: LoginTerms): number {
  return Math.min(1000, idleMs / 10);
}
