import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import { LRUCache } from "lru-cache";
import { ServiceError } from "../domain/errors.ts";
import { isIdentifier } from "../domain/identifiers.ts";
import { rolesFrom } from "../domain/roles.ts";
import { LiveFile } from "./live-file.ts";
import { ProvenCaller } from "./proven-caller.ts";

export interface JwtOptions {
  /** URL or path of the JSON Web Key Set (RFC 7517). */
  readonly jwks: string;
  readonly issuer: string;
  readonly audience: string;
  /** Signature algorithms that are accepted, for example `RS256`; asymmetric ones. */
  readonly algorithms: readonly string[];
  readonly clockToleranceMs: number;
  /** The claim that names the principal. */
  readonly principalClaim: string;
  /** The claim that has the roles: an array of texts, or one text with spaces in between. */
  readonly roleClaim: string;
}

export interface BearerTokensOptions extends JwtOptions {
  readonly log: { error(message: string): void };
  /** How often to look whether a file of keys has changed. */
  readonly everyMs?: number;
}

/** What a good token tells. */
export interface VerifiedToken {
  readonly caller: ProvenCaller;
  /** Milliseconds since the epoch. */
  readonly validUntil: number;
}

/** How the proofs of this method begin; the end of the token's validity follows, in milliseconds since the epoch. */
export const tokenProof = "token:";

export const bearerChallenge = 'Bearer realm="downlease"';
/** After a bad token (RFC 6750, section 3.1). */
export const badTokenChallenge = `${bearerChallenge}, error="invalid_token"`;

/** With the scheme. Nothing that an issuer makes is longer, and the headers of a request may not be much longer. */
const longestAuthorization = 12 * 1024;

const maxJwksBytes = 1024 * 1024;
const fetchMs = 3000;

/** Tokens kept, and all their letters. A token that falls out is verified again. */
const mostKept = { max: 10_000, maxSize: 16 * 1024 * 1024 };

/**
 * Verifies JSON Web Tokens. A token that has been verified is known until it expires, so that the next call with it
 * costs a look-up and no promise.
 */
export class BearerTokens {
  readonly #options: BearerTokensOptions;
  readonly #keys: { readonly find: JWTVerifyGetKey; close(): void };
  /** By `Authorization` header. */
  readonly #verified = new LRUCache<string, VerifiedToken>({
    ...mostKept,
    sizeCalculation: (_, authorization) => authorization.length,
  });
  #keysAreMissing = false;

  private constructor(options: BearerTokensOptions, keys: { find: JWTVerifyGetKey; close(): void }) {
    this.#options = options;
    this.#keys = keys;
  }

  /** @throws Error when a file of keys can't be used. Keys at a URL are fetched with the first token. */
  static async open(options: BearerTokensOptions): Promise<BearerTokens> {
    const { jwks, log, everyMs = 1000 } = options;
    if (/^https?:/i.test(jwks)) {
      const find = createRemoteJWKSet(new URL(jwks), { timeoutDuration: fetchMs });
      return new BearerTokens(options, { find, close() {} });
    }
    const file = await LiveFile.open({
      path: jwks,
      maxBytes: maxJwksBytes,
      everyMs,
      parse: (text) => createLocalJWKSet(JSON.parse(text) as JSONWebKeySet),
      onBroken: (reason) => log.error(`${jwks} can't be used, the keys of before still hold: ${reason}`),
    });
    const find: JWTVerifyGetKey = (header, token) => file.value(header, token);
    return new BearerTokens(options, { find, close: () => file.close() });
  }

  /**
   * What the token in an `Authorization` header proves, or why it proves nothing.
   *
   * @throws ServiceError when the keys can't be had
   */
  read(
    authorization: string,
  ): VerifiedToken | "invalid" | "expired" | Promise<VerifiedToken | "invalid" | "expired"> {
    const known = this.#verified.get(authorization);
    if (known === undefined) return this.#verify(authorization);
    if (Date.now() < known.validUntil) return known;
    this.#verified.delete(authorization);
    return "expired";
  }

  close(): void {
    this.#keys.close();
  }

  async #verify(authorization: string): Promise<VerifiedToken | "invalid" | "expired"> {
    const [, token] = /^bearer +([\w.-]+) *$/i.exec(authorization) ?? [];
    if (token === undefined || authorization.length > longestAuthorization) return "invalid";
    const { issuer, audience, algorithms, clockToleranceMs } = this.#options;
    let claims: JWTPayload;
    try {
      ({ payload: claims } = await jwtVerify(token, (...about) => this.#find(...about), {
        algorithms: [...algorithms],
        issuer,
        audience,
        clockTolerance: clockToleranceMs / 1000,
        requiredClaims: ["exp"],
      }));
    } catch (error) {
      if (error instanceof errors.JWTExpired) return "expired";
      if (error instanceof errors.JOSEError) return "invalid";
      this.#tellMissing(error);
      throw new ServiceError("downlease.authentication.keys_unavailable");
    }
    this.#keysAreMissing = false;
    const verified = this.#verifiedOf(claims);
    if (verified === undefined) return "invalid";
    this.#verified.set(authorization, verified);
    return verified;
  }

  #verifiedOf(claims: JWTPayload): VerifiedToken | undefined {
    const { principalClaim, roleClaim, clockToleranceMs } = this.#options;
    const principal = claims[principalClaim];
    if (!isIdentifier(principal)) return undefined;
    const validUntil = claims.exp! * 1000 + clockToleranceMs;
    const roles = rolesFrom(namesIn(claims[roleClaim]));
    return { caller: new ProvenCaller(principal, roles, `${tokenProof}${validUntil}`), validUntil };
  }

  /** Errors of jose's own are about the token, all others about the keys. */
  async #find(...about: Parameters<JWTVerifyGetKey>): Promise<Awaited<ReturnType<JWTVerifyGetKey>>> {
    try {
      return await this.#keys.find(...about);
    } catch (error) {
      const isAboutToken =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      throw isAboutToken ? error : new Error((error as Error).message, { cause: error });
    }
  }

  /** Once, not for each call that suffers from it. */
  #tellMissing(error: unknown): void {
    if (this.#keysAreMissing) return;
    this.#keysAreMissing = true;
    const { message, cause } = error as Error;
    const detail = cause instanceof Error && cause.cause instanceof Error ? ` (${cause.cause.message})` : "";
    this.#options.log.error(`the token signing keys are unavailable: ${message}${detail}`);
  }
}

function namesIn(claim: unknown): readonly unknown[] {
  if (typeof claim === "string") return claim.split(" ");
  return Array.isArray(claim) ? claim : [];
}
