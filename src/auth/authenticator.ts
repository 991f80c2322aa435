import type { Call } from "../calls/call.ts";
import { loginChallenge } from "../calls/credentials.ts";
import type { Authenticate } from "../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../domain/errors.ts";
import { isIdentifier } from "../domain/identifiers.ts";
import type { Login, LoginStore } from "../domain/login-store.ts";
import { noRoles, type Role, type Roles, rolesFrom } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import { basicChallenge, isBasic, readBasic } from "./basic-credentials.ts";
import {
  BearerTokens,
  badTokenChallenge,
  bearerChallenge,
  type JwtOptions,
  tokenProof,
} from "./bearer-tokens.ts";
import type { LiveFile } from "./live-file.ts";
import { type FailureLimits, PasswordLogin } from "./password-login.ts";
import { ProvenCaller } from "./proven-caller.ts";
import { type KnownUsers, openUsersFile, userProof } from "./users-file.ts";

/** Who is calling, for the pipeline. */
export interface Authentication {
  /** For every operation but logins. */
  readonly authenticate: Authenticate;
  /** For logins; `loginOpener` accepts the callers that it returns. */
  readonly login: Authenticate;
}

/** The ways to tell who one is. */
export interface Methods {
  /** Path of a file of users, who log in with name and password. */
  readonly usersFile?: string | undefined;
  /** Bearer tokens. */
  readonly jwt?: JwtOptions | undefined;
  /** Certificates of clients, which the server asks for; the names in them that have a role. */
  readonly mtls?: { readonly namesByRole: NamesByRole } | undefined;
}

type NamesByRole = Readonly<Record<Role, readonly string[]>>;

export interface AuthenticatorOptions {
  readonly methods: Methods;
  readonly failureLimits: FailureLimits;
  readonly logins: LoginStore;
  readonly log: { warn(message: string): void; error(message: string): void };
  /** How often to look whether files have changed, in milliseconds; once a second by default. */
  readonly everyMs?: number;
}

interface Parts {
  readonly logins: LoginStore;
  readonly users: LiveFile<KnownUsers> | undefined;
  readonly passwords: PasswordLogin | undefined;
  readonly tokens: BearerTokens | undefined;
  /** The roles of a certificate's holder, by its name; undefined when certificates are not accepted. */
  readonly rolesByCertificate: ((name: string) => Roles) | undefined;
}

/** How the proofs of certificates begin; the end of the validity follows, in milliseconds since the epoch. */
const certificateProof = "certificate:";

/**
 * Finds out who is calling. What is looked at, in this order: the login session, the `Authorization` header, the
 * client's certificate. The first that is there decides; if it is wrong, the call fails.
 */
export class Authenticator implements Authentication {
  readonly #parts: Parts;
  readonly #ofCalls: Refusals;
  readonly #ofLogins: Refusals;

  private constructor(parts: Parts) {
    this.#parts = parts;
    const bearer = parts.tokens === undefined ? [] : [bearerChallenge];
    this.#ofCalls = refusals([...bearer, loginChallenge]);
    this.#ofLogins = refusals([...(parts.users === undefined ? [] : [basicChallenge]), ...bearer]);
  }

  /** @throws Error that says which file can't be used, and why */
  static async open(options: AuthenticatorOptions): Promise<Authenticator> {
    const { methods, failureLimits: limits, logins, log, everyMs = 1000 } = options;
    const { usersFile, jwt, mtls } = methods;
    const tokens =
      jwt && (await named(`the keys in ${jwt.jwks}`, BearerTokens.open({ ...jwt, log, everyMs })));
    const users =
      usersFile === undefined
        ? undefined
        : await named(`the users file ${usersFile}`, openUsersFile({ path: usersFile, log, everyMs }));
    const passwords = users && new PasswordLogin({ users, logins, limits });
    return new Authenticator({
      logins,
      users,
      passwords,
      tokens,
      rolesByCertificate: mtls && rolesByName(mtls.namesByRole),
    });
  }

  /** Without a promise wherever the answer is at hand: this is on the way of every heartbeat. */
  readonly authenticate: Authenticate = (call) => {
    const { loginId, authorization } = call.credentials;
    if (loginId !== undefined) {
      const login = this.#parts.logins.find(loginId);
      return login instanceof Promise
        ? login.then((found) => this.#confirmed(found))
        : this.#confirmed(login);
    }
    if (authorization === undefined) return this.#byCertificate(call, this.#ofCalls);
    if (isBasic(authorization)) throw this.#ofCalls.password;
    return this.#byToken(authorization, this.#ofCalls);
  };

  readonly login: Authenticate = (call) => {
    const { authorization } = call.credentials;
    if (authorization === undefined) return this.#byCertificate(call, this.#ofLogins);
    if (isBasic(authorization)) return this.#byPassword(authorization, call);
    return this.#byToken(authorization, this.#ofLogins);
  };

  /** Files are not looked at any more. */
  close(): void {
    this.#parts.users?.close();
    this.#parts.tokens?.close();
  }

  #confirmed(login: Login | undefined): Caller {
    const caller = login && this.#callerOf(login);
    if (caller === undefined) throw this.#ofCalls.expired;
    return caller;
  }

  /** Undefined when what the login rests on does not hold any more. Users and certificates have the roles of now. */
  #callerOf(login: Login): Caller | undefined {
    const { principal, proof } = login;
    const { users, tokens, rolesByCertificate } = this.#parts;
    if (proof.startsWith(userProof)) {
      const user = users?.value.get(principal);
      return user?.caller.proof === proof ? user.caller : undefined;
    }
    if (proof.startsWith(tokenProof)) {
      return tokens !== undefined && isAhead(proof.slice(tokenProof.length)) ? login : undefined;
    }
    if (proof.startsWith(certificateProof)) {
      if (rolesByCertificate === undefined || !isAhead(proof.slice(certificateProof.length)))
        return undefined;
      return { principal, roles: rolesByCertificate(principal) };
    }
    return undefined;
  }

  async #byPassword(authorization: string, call: Call): Promise<Caller> {
    const credentials = readBasic(authorization);
    const user = credentials && (await this.#parts.passwords?.check(credentials, call));
    if (user === undefined) throw this.#ofLogins.invalid;
    return user;
  }

  #byToken(authorization: string, refusals: Refusals): Caller | Promise<Caller> {
    const { tokens } = this.#parts;
    if (tokens === undefined) throw refusals.invalid;
    const token = tokens.read(authorization);
    return token instanceof Promise
      ? token.then((read) => callerOf(read, refusals))
      : callerOf(token, refusals);
  }

  #byCertificate({ connection }: Call, refusals: Refusals): Caller {
    const { rolesByCertificate } = this.#parts;
    const { certificate } = connection;
    if (rolesByCertificate === undefined || certificate === undefined) throw refusals.required;
    const { isTrusted, name, validUntil } = certificate;
    if (!isTrusted || !isIdentifier(name)) throw refusals.invalid;
    if (!isAhead(validUntil)) throw refusals.expired;
    return new ProvenCaller(name, rolesByCertificate(name), `${certificateProof}${validUntil}`);
  }
}

function rolesByName(namesByRole: NamesByRole): (name: string) => Roles {
  const roles = new Map<string, Roles>();
  for (const [role, names] of Object.entries(namesByRole)) {
    for (const name of names) roles.set(name, rolesFrom([role, ...(roles.get(name) ?? [])]));
  }
  return (name) => roles.get(name) ?? noRoles;
}

type ReadToken = Awaited<ReturnType<BearerTokens["read"]>>;

function callerOf(token: ReadToken, refusals: Refusals): Caller {
  if (token === "invalid") throw refusals.invalidToken;
  if (token === "expired") throw refusals.expiredToken;
  return token.caller;
}

/** @param time milliseconds since the epoch; what is none is not ahead */
function isAhead(time: number | string): boolean {
  return Date.now() < Number(time);
}

type Refusals = ReturnType<typeof refusals>;

/** Made once: who guesses or floods must not cost more than it takes to say no. */
function refusals(challenges: readonly string[]) {
  const refusal = (messageId: ErrorMessageId, challenged = challenges) =>
    ServiceError.unauthenticated(messageId, challenged.length === 0 ? undefined : challenged.join(", "));
  const ofToken = challenges.map((challenge) =>
    challenge === bearerChallenge ? badTokenChallenge : challenge,
  );
  return {
    required: refusal("downlease.authentication.required"),
    invalid: refusal("downlease.authentication.invalid"),
    expired: refusal("downlease.authentication.expired"),
    password: refusal("downlease.authentication.password"),
    invalidToken: refusal("downlease.authentication.invalid", ofToken),
    expiredToken: refusal("downlease.authentication.expired", ofToken),
  };
}

async function named<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${what} can't be used: ${(error as Error).message}`, { cause: error });
  }
}
