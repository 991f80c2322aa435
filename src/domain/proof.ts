/**
 * How callers are proven. A proof is a text of the authenticator: one of these prefixes, and what must still hold. That of
 * a caller that nobody had to prove has no prefix.
 */
export const proofPrefixes = {
  /** A name and a password of the users file; a digest of the password hash follows. */
  user: "user:",
  /** A bearer token; the end of its validity follows, in milliseconds since the epoch. */
  token: "token:",
  /** A client certificate; the end of its validity follows, in milliseconds since the epoch. */
  certificate: "certificate:",
} as const;

export type ProofKind = "password" | "token" | "certificate" | "none";

export function proofKindOf(proof = ""): ProofKind {
  if (restsOnUser(proof)) return "password";
  if (proof.startsWith(proofPrefixes.token)) return "token";
  return proof.startsWith(proofPrefixes.certificate) ? "certificate" : "none";
}

/** Whether a proof rests on a user of the users file, and ends with it. */
export function restsOnUser(proof = ""): boolean {
  return proof.startsWith(proofPrefixes.user);
}
