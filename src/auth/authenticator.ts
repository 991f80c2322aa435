import type { Call } from "../calls/call.ts";
import type { ClientAddressOf } from "../calls/client-address.ts";
import { isOfOwnPage, loginChallenge, loginIdOf } from "../calls/credentials.ts";
import type { Authenticate } from "../calls/pipeline.ts";
import { type ErrorMessageId, ServiceError } from "../domain/errors.ts";
import { isIdentifier } from "../domain/identifiers.ts";
import type { Login, LoginStore } from "../domain/login-store.ts";
import { proofPrefixes, restsOnUser } from "../domain/proof.ts";
import { isAdmin, noRoles, type Role, type Roles, rolesFrom } from "../domain/roles.ts";
import type { Caller } from "../domain/session.ts";
import type { TraceHeaders } from "../domain/trace.ts";
import { basicChallenge, isBasic, readBasic } from "./basic-credentials.ts";
import { BearerTokens, badTokenChallenge, bearerChallenge, type JwtOptions } from "./bearer-tokens.ts";
import { type FailureLimits, PasswordLogin } from "./password-login.ts";
import { ProvenCaller } from "./proven-caller.ts";
import { type Accounts, openUsersFile } from "./users-file.ts";
import type { WatchedFile } from "./watched-file.ts";

/** Identifies callers, for the pipeline. */
export interface Authentication {
  /** For every operation but logins. */
  readonly authenticate: Authenticate;
  /** For logins; `loginOpener` accepts the callers that it returns. */
  readonly login: Authenticate;
  /** For administration: refuses callers that are no operators of the service. */
  readonly administrate: Authenticate;
  /** The users of the users file, by name; none without a file. */
  readonly users: Users;
  /** Reads users and keys again. What can't be used is logged, and the previous ones count. */
  reload(): Promise<void>;
}

/** The users of the users file and their roles, by name. */
export interface Users {
  has(name: string): boolean;
  entries(): Iterable<readonly [name: string, user: { readonly caller: Caller }]>;
}

/** Accepted authentication methods. */
export interface Methods {
  /** Path of the users file; users log in with name and password. */
  readonly usersFile?: string | undefined;
  /** Bearer tokens. */
  readonly jwt?: JwtOptions | undefined;
  /** Client certificates; names in certificates, by the role that they have. */
  readonly mtls?: { readonly namesByRole: NamesByRole } | undefined;
}

const noUsers: Users = new Map<string, never>();

type NamesByRole = Readonly<Record<Role, readonly string[]>>;

export interface AuthenticatorOptions {
  readonly methods: Methods;
  readonly failureLimits: FailureLimits;
  readonly logins: Pick<LoginStore, "find" | "addFailure" | "removeFailure">;
  readonly clientAddressOf: ClientAddressOf;
  readonly log: { warn(message: string): void; error(message: string): void };
  /** Called with the names of users that have been removed from the users file while the service runs. */
  readonly onUsersRemoved?: (names: readonly string[]) => void;
  /** Origins whose pages may send names and passwords, as browsers spell them; none by default. */
  readonly corsOrigins?: readonly string[];
  /** Further headers of requests for keys; see `BearerTokensOptions`. */
  readonly traceHeaders?: TraceHeaders | undefined;
  /** How often to check files for changes, in milliseconds; once a second by default. */
  readonly pollMs?: number;
}

interface Parts {
  readonly logins: AuthenticatorOptions["logins"];
  readonly users: WatchedFile<Accounts> | undefined;
  readonly passwords: PasswordLogin | undefined;
  readonly tokens: BearerTokens | undefined;
  /** The roles of a certificate's holder, by its name; undefined when certificates are not accepted. */
  readonly rolesByCertificate: ((name: string) => Roles) | undefined;
  readonly corsOrigins: ReadonlySet<string>;
  /** The files that are watched. */
  readonly opened: Disposable;
}

/**
 * Authenticates callers by their login session, `Authorization` header or client certificate. The first of these that a
 * call has decides; if it is not valid, the call fails.
 *
 * What a browser adds to a request by itself counts only when a page of our own or no page makes the request; else the
 * call is treated as if it was not there.
 */
export class Authenticator implements Authentication {
  readonly #parts: Parts;
  readonly #callRefusals: Refusals;
  readonly #loginRefusals: Refusals;

  private constructor(parts: Parts) {
    this.#parts = parts;
    const bearer = parts.tokens === undefined ? [] : [bearerChallenge];
    this.#callRefusals = refusals([...bearer, loginChallenge]);
    this.#loginRefusals = refusals([...(parts.users === undefined ? [] : [basicChallenge]), ...bearer]);
  }

  /** @throws Error that says which file can't be used, and why */
  static async open(options: AuthenticatorOptions): Promise<Authenticator> {
    const { methods, failureLimits: limits, logins, clientAddressOf } = options;
    const { log, onUsersRemoved: onRemoved, corsOrigins = [], pollMs = 1000, traceHeaders } = options;
    const { usersFile, jwt, mtls } = methods;
    using opened = new DisposableStack();
    const open = async <T extends { close(): void }>(what: string, file: Promise<T>): Promise<T> =>
      opened.adopt(await describeFailure(what, file), (each) => each.close());
    const tokens =
      jwt &&
      (await open(`the keys in ${jwt.jwks}`, BearerTokens.open({ ...jwt, log, pollMs, traceHeaders })));
    const users =
      usersFile === undefined
        ? undefined
        : await open(
            `the users file ${usersFile}`,
            openUsersFile({ path: usersFile, log, onRemoved, pollMs }),
          );
    const passwords = users && new PasswordLogin({ users, logins, limits, clientAddressOf });
    return new Authenticator({
      logins,
      users,
      passwords,
      tokens,
      rolesByCertificate: mtls && rolesByName(mtls.namesByRole),
      corsOrigins: new Set(corsOrigins),
      opened: opened.move(),
    });
  }

  /** Without a promise wherever nothing has to be awaited: every keep-alive passes here. */
  readonly authenticate: Authenticate = (call) => {
    const { credentials, headers } = call;
    const loginId = loginIdOf(credentials, headers);
    if (loginId !== undefined) {
      const login = this.#parts.logins.find(loginId);
      return login instanceof Promise
        ? login.then((resolved) => this.#requireValid(resolved))
        : this.#requireValid(login);
    }
    const { authorization } = credentials;
    if (authorization === undefined) return this.#byCertificate(call, this.#callRefusals);
    if (isBasic(authorization)) throw this.#callRefusals.password;
    return this.#byToken(authorization, this.#callRefusals);
  };

  readonly login: Authenticate = (call) => {
    const refusals = this.#loginRefusalsFor(call);
    const { authorization } = call.credentials;
    if (authorization === undefined) return this.#byCertificate(call, refusals);
    if (isBasic(authorization)) return this.#byPassword(authorization, call, refusals);
    return this.#byToken(authorization, refusals);
  };

  readonly administrate: Authenticate = async (call) => {
    const caller = await this.authenticate(call);
    if (!isAdmin(caller)) {
      call.refusedCaller = caller;
      throw new ServiceError("downlease.admin.role");
    }
    return caller;
  };

  get users(): Users {
    return this.#parts.users?.value ?? noUsers;
  }

  async reload(): Promise<void> {
    await Promise.all([this.#parts.users?.reload(), this.#parts.tokens?.reload()]);
  }

  /** Stops watching files. */
  close(): void {
    this.#parts.opened[Symbol.dispose]();
  }

  #requireValid(login: Login | undefined): Caller {
    const caller = login && this.#callerOf(login);
    if (caller === undefined) throw this.#callRefusals.expired;
    return caller;
  }

  /** Undefined when the proof of the login is no longer valid. Users and certificates have their current roles. */
  #callerOf(login: Login): Caller | undefined {
    const { principal, proof } = login;
    const { users, tokens, rolesByCertificate } = this.#parts;
    if (restsOnUser(proof)) {
      const user = users?.value.get(principal);
      return user?.caller.proof === proof ? user.caller : undefined;
    }
    if (proof.startsWith(proofPrefixes.token)) {
      return tokens !== undefined && isFuture(proof.slice(proofPrefixes.token.length)) ? login : undefined;
    }
    if (proof.startsWith(proofPrefixes.certificate)) {
      if (rolesByCertificate === undefined || !isFuture(proof.slice(proofPrefixes.certificate.length)))
        return undefined;
      return { principal, roles: rolesByCertificate(principal), proof };
    }
    return undefined;
  }

  /** To a page that asks for the password itself no challenge may name Basic: browsers would ask as well. */
  #loginRefusalsFor({ headers }: Call): Refusals {
    return headers["x-requested-with"] === undefined ? this.#loginRefusals : this.#callRefusals;
  }

  async #byPassword(authorization: string, call: Call, refusals: Refusals): Promise<Caller> {
    if (!this.#isOfPasswordPage(call)) throw refusals.foreignPage;
    const credentials = readBasic(authorization);
    // Other names than those of users may be anything that was typed in the wrong place.
    if (credentials && this.users.has(credentials.name)) {
      call.refusedCaller = { principal: credentials.name, roles: noRoles };
    }
    const user = credentials && (await this.#parts.passwords?.check(credentials, call));
    if (user === undefined) throw refusals.invalid;
    return user;
  }

  /**
   * Whether Basic credentials count. A page of an allowed origin has no other way to log its user in, and what a browser
   * adds to its requests by itself is of no use to it: it can't read the answer.
   */
  #isOfPasswordPage({ credentials, headers }: Call): boolean {
    return (
      credentials.isInBody === true ||
      isOfOwnPage(headers) ||
      this.#parts.corsOrigins.has(headers.origin ?? "")
    );
  }

  #byToken(authorization: string, refusals: Refusals): Caller | Promise<Caller> {
    const { tokens } = this.#parts;
    if (tokens === undefined) throw refusals.invalid;
    const token = tokens.read(authorization);
    return token instanceof Promise
      ? token.then((result) => callerOf(result, refusals))
      : callerOf(token, refusals);
  }

  #byCertificate({ connection, credentials, headers }: Call, refusals: Refusals): Caller {
    const { rolesByCertificate } = this.#parts;
    const certificate = rolesByCertificate && connection.certificate;
    const hasAny = certificate !== undefined || credentials.loginCookie !== undefined;
    if (hasAny && !isOfOwnPage(headers)) throw refusals.foreignPage;
    if (rolesByCertificate === undefined || certificate === undefined) throw refusals.required;
    const { isTrusted, name, validUntil } = certificate;
    if (!isTrusted || !isIdentifier(name)) throw refusals.invalid;
    if (!isFuture(validUntil)) throw refusals.expired;
    return new ProvenCaller(name, rolesByCertificate(name), `${proofPrefixes.certificate}${validUntil}`);
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

/** Whether a time is still to come. @param time milliseconds since the epoch; NaN counts as past */
function isFuture(time: number | string): boolean {
  return Date.now() < Number(time);
}

type Refusals = ReturnType<typeof refusals>;

/** Made once, so that refusing callers that guess or flood stays cheap. */
function refusals(challenges: readonly string[]) {
  const refusal = (messageId: ErrorMessageId, accepted = challenges) =>
    ServiceError.unauthenticated(messageId, accepted.length === 0 ? undefined : accepted.join(", "));
  const tokenChallenges = challenges.map((challenge) =>
    challenge === bearerChallenge ? badTokenChallenge : challenge,
  );
  return {
    required: refusal("downlease.authentication.required"),
    invalid: refusal("downlease.authentication.invalid"),
    expired: refusal("downlease.authentication.expired"),
    foreignPage: refusal("downlease.authentication.foreign_page"),
    password: refusal("downlease.authentication.password"),
    invalidToken: refusal("downlease.authentication.invalid", tokenChallenges),
    expiredToken: refusal("downlease.authentication.expired", tokenChallenges),
  };
}

async function describeFailure<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new Error(`${what} can't be used: ${(error as Error).message}`, { cause: error });
  }
}
