import type { webcrypto } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

/** An issuer of tokens with one key. */
export interface Issuer {
  readonly issuer: string;
  readonly audience: string;
  /** The key set that it publishes. */
  readonly jwks: { readonly keys: readonly object[] };
  readonly publicKey: webcrypto.CryptoKey;
  readonly privateKey: webcrypto.CryptoKey;
  /** A valid token with the given claims changed; undefined removes a claim. */
  token(
    claims?: Readonly<Record<string, unknown>>,
    header?: { readonly alg?: string; readonly kid?: string },
  ): Promise<string>;
}

export async function newIssuer(alg = "ES256", kid: string = crypto.randomUUID()): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const [issuer, audience] = ["https://issuer.example", "downlease"];
  return {
    issuer,
    audience,
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid, alg, use: "sig" }] },
    publicKey,
    privateKey,
    token(claims = {}, header = {}) {
      const exp = Math.floor(Date.now() / 1000) + 600;
      const payload = { iss: issuer, aud: audience, sub: "alice", exp, ...claims };
      return new SignJWT(JSON.parse(JSON.stringify(payload)))
        .setProtectedHeader({ alg, kid, ...header })
        .sign(privateKey);
    },
  };
}

/** The settings of a service that accepts the issuer's tokens. @param directory gets the file of its keys */
export async function settingsFor({ issuer, audience, jwks }: Issuer, directory: string) {
  const jwtJwks = join(directory, "jwks.json");
  await writeFile(jwtJwks, JSON.stringify(jwks));
  return { jwtJwks, jwtIssuer: issuer, jwtAudience: audience };
}
