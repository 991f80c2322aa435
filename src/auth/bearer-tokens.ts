import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JSONWebKeySet,
  type JWTHeaderParameters,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from "jose";
import { LRUCache } from "lru-cache";
import { ServiceError } from "../domain/errors.ts";
import { isIdentifier } from "../domain/identifiers.ts";
import { rolesFrom } from "../domain/roles.ts";
import type { TraceHeaders } from "../domain/trace.ts";
import { ProvenCaller } from "./proven-caller.ts";
import { WatchedFile } from "./watched-file.ts";

export interface JwtOptions {
  /** URL or path of the JSON Web Key Set (RFC 7517). */
  readonly jwks: string;
  readonly issuer: string;
  readonly audience: string;
  /** Accepted signature algorithms, for example `RS256`; only asymmetric ones. */
  readonly algorithms: readonly string[];
  /** Accepted values of `typ`; empty for the usual ones of access tokens, or none. */
  readonly types: readonly string[];
  readonly clockToleranceMs: number;
  /** Name of the claim that holds the principal. */
  readonly principalClaim: string;
  /** Name of the claim that holds the roles: an array of strings, or one string separated by spaces. */
  readonly roleClaim: string;
}

export interface BearerTokensOptions extends JwtOptions {
  readonly log: { error(message: string): void };
  /** Further headers of a request for keys, for the trace that it belongs to. */
  readonly traceHeaders?: TraceHeaders | undefined;
  /** How often to check a file of keys for changes, in milliseconds; once a second by default. */
  readonly pollMs?: number;
}

/** A valid token. */
export interface VerifiedToken {
  readonly caller: ProvenCaller;
  /** Milliseconds since the epoch. */
  readonly validUntil: number;
}

/** Prefix of a token's proof; the end of its validity follows, in milliseconds since the epoch. */
export const tokenProof = "token:";

export const bearerChallenge = 'Bearer realm="downlease"';
/** Challenge after an invalid token (RFC 6750, section 3.1). */
export const badTokenChallenge = `${bearerChallenge}, error="invalid_token"`;

/**
 * Characters of an `Authorization`, scheme included. Issuers make no longer ones, and the headers of a request may not
 * be much longer.
 */
const maxAuthorizationLength = 12 * 1024;

/** Types of access tokens (RFC 7519, section 5.1; RFC 9068, section 2.1). Many issuers set none. */
const usualTypes = ["jwt", "at+jwt", ""];

const maxJwksBytes = 1024 * 1024;
const fetchMs = 3000;

/** Tokens in the cache, and characters of all of them. A token that is evicted is verified again. */
const cacheLimits = { max: 10_000, maxSize: 16 * 1024 * 1024 };

interface Keys {
  readonly find: JWTVerifyGetKey;
  /** Resolves with whether they could be read; logs why not. */
  reload(): Promise<boolean>;
  close(): void;
}

/**
 * Verifies JSON Web Tokens. A verified token is cached until it expires, so that the next call with it costs a look-up
 * and no promise.
 */
export class BearerTokens {
  readonly #options: BearerTokensOptions;
  readonly #keys: Keys;
  /** By `Authorization` header. */
  readonly #verified = new LRUCache<string, VerifiedToken>({
    ...cacheLimits,
    sizeCalculation: (_, authorization) => authorization.length,
  });
  /** As `typeOf` gives them. */
  readonly #types: ReadonlySet<string>;
  #keysAreMissing = false;

  private constructor(options: BearerTokensOptions, keys: Keys) {
    this.#options = options;
    this.#keys = keys;
    this.#types = new Set(options.types.length === 0 ? usualTypes : options.types.map(typeOf));
  }

  /** @throws Error when a file of keys can't be used. Keys at a URL are fetched with the first token. */
  static async open(options: BearerTokensOptions): Promise<BearerTokens> {
    if (isRemote(options.jwks)) return new BearerTokens(options, keysAtUrl(options));
    const file = await openKeysFile(options);
    const find: JWTVerifyGetKey = (header, token) => file.value(header, token);
    return new BearerTokens(options, { find, reload: () => file.reload(), close: () => file.close() });
  }

  /**
   * Verifies the token in an `Authorization` header.
   *
   * @throws ServiceError when the signing keys are unavailable
   */
  read(
    authorization: string,
  ): VerifiedToken | "invalid" | "expired" | Promise<VerifiedToken | "invalid" | "expired"> {
    const verified = this.#verified.get(authorization);
    if (verified === undefined) return this.#verify(authorization);
    if (Date.now() < verified.validUntil) return verified;
    this.#verified.delete(authorization);
    return "expired";
  }

  /** Reads the keys again. Tokens that were accepted with the previous ones are verified again. */
  async reload(): Promise<void> {
    if (await this.#keys.reload()) this.#verified.clear();
  }

  close(): void {
    this.#keys.close();
  }

  async #verify(authorization: string): Promise<VerifiedToken | "invalid" | "expired"> {
    const [, token] = /^bearer +([\w.-]+) *$/i.exec(authorization) ?? [];
    if (token === undefined || authorization.length > maxAuthorizationLength) return "invalid";
    const { issuer, audience, algorithms, clockToleranceMs } = this.#options;
    let claims: JWTPayload;
    let header: JWTHeaderParameters;
    try {
      ({ payload: claims, protectedHeader: header } = await jwtVerify(
        token,
        (...args) => this.#findKey(...args),
        {
          algorithms: [...algorithms],
          issuer,
          audience,
          clockTolerance: clockToleranceMs / 1000,
          requiredClaims: ["exp"],
        },
      ));
    } catch (error) {
      if (error instanceof errors.JWTExpired) return "expired";
      if (error instanceof errors.JOSEError) return "invalid";
      this.#logMissingKeys(error);
      throw new ServiceError("downlease.authentication.keys_unavailable");
    }
    this.#keysAreMissing = false;
    const { typ = "" } = header;
    if (typeof typ !== "string" || !this.#types.has(typeOf(typ))) return "invalid";
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

  /**
   * Looks up the key of a token. Errors of jose's own classes mean that the token is invalid, all others that the keys
   * are unavailable.
   */
  async #findKey(...args: Parameters<JWTVerifyGetKey>): Promise<Awaited<ReturnType<JWTVerifyGetKey>>> {
    try {
      return await this.#keys.find(...args);
    } catch (error) {
      const isTokenError =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      throw isTokenError ? error : new Error((error as Error).message, { cause: error });
    }
  }

  /** Logs once that the keys are unavailable, not for every call. */
  #logMissingKeys(error: unknown): void {
    if (this.#keysAreMissing) return;
    this.#keysAreMissing = true;
    const { message, cause } = error as Error;
    const detail = cause instanceof Error && cause.cause instanceof Error ? ` (${cause.cause.message})` : "";
    this.#options.log.error(`the token signing keys are unavailable: ${message}${detail}`);
  }
}

/** Reads a key set once, from its file or its URL. @returns how many keys it has @throws Error when it can't be used */
export async function countKeys(jwks: string): Promise<number> {
  if (isRemote(jwks)) {
    const keys = remoteKeys(jwks);
    await keys.reload();
    return keys.jwks()?.keys.length ?? 0;
  }
  const file = await openKeysFile({ jwks, log: { error() {} } });
  file.close();
  return file.value.jwks().keys.length;
}

function isRemote(jwks: string): boolean {
  return /^https?:/i.test(jwks);
}

function remoteKeys(jwks: string, traceHeaders: TraceHeaders = () => ({})) {
  return createRemoteJWKSet(new URL(jwks), {
    timeoutDuration: fetchMs,
    [customFetch]: (url, options) => {
      const headers = new Headers(options.headers);
      for (const [name, value] of Object.entries(traceHeaders())) headers.set(name, value);
      return fetchBounded(url, { ...options, headers });
    },
  });
}

function keysAtUrl({ jwks, log, traceHeaders }: BearerTokensOptions): Keys {
  const find = remoteKeys(jwks, traceHeaders);
  return {
    find,
    async reload() {
      try {
        await find.reload();
        return true;
      } catch (error) {
        log.error(`${jwks} can't be read; keeping the previous keys: ${(error as Error).message}`);
        return false;
      }
    },
    close() {},
  };
}

function openKeysFile({ jwks, log, pollMs = 1000 }: Pick<BearerTokensOptions, "jwks" | "log" | "pollMs">) {
  return WatchedFile.open({
    path: jwks,
    maxBytes: maxJwksBytes,
    pollMs,
    parse: (text) => createLocalJWKSet(JSON.parse(text) as JSONWebKeySet),
    onBroken: (reason) => log.error(`${jwks} is invalid; keeping the previous keys: ${reason}`),
  });
}

/**
 * The type of a token (RFC 7515, section 4.1.9) for comparisons. The same issuer and keys may make tokens for other
 * purposes, such as logout tokens (RFC 8725, section 3.11).
 */
function typeOf(typ: string): string {
  return typ.toLowerCase().replace(/^application\/([^/]*)$/, "$1");
}

/** As `fetch`, but an answer that is longer than `maxJwksBytes` breaks off. */
const fetchBounded: FetchImplementation = async (url, options) => {
  const response = await fetch(url, options);
  if (response.status !== 200 || response.body === null) return response;
  let received = 0;
  const bounded = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      received += chunk.byteLength;
      if (received > maxJwksBytes) throw new Error(`the answer is larger than ${maxJwksBytes} bytes`);
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(bounded));
};

function namesIn(claim: unknown): readonly unknown[] {
  if (typeof claim === "string") return claim.split(" ");
  return Array.isArray(claim) ? claim : [];
}
