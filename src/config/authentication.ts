import { BlockList, isIP } from "node:net";
import { z } from "zod";
import { integer, isHttpUrl, listOf, manual, oneOf, pathOf, type Rule, seconds, switches } from "./fields.ts";

/** How callers tell who they are; what is undefined is not accepted. */
export interface AuthenticationConfig {
  /** Path of a file of users, who log in with name and password. */
  readonly usersFile: string | undefined;
  /** Bearer tokens. */
  readonly jwt:
    | {
        /** URL or path of the keys. */
        readonly jwks: string;
        readonly issuer: string;
        readonly audience: string;
        readonly algorithms: readonly string[];
        readonly clockToleranceMs: number;
        readonly principalClaim: string;
        readonly roleClaim: string;
      }
    | undefined;
  /** Client certificates. */
  readonly mtls:
    | {
        /** Path of the PEM file of the authorities. */
        readonly ca: string;
        /** Names in certificates that have a role. */
        readonly namesByRole: { readonly admin: readonly string[]; readonly storage: readonly string[] };
      }
    | undefined;
}

export interface LoginConfig {
  readonly idleMs: number;
  readonly lifetimeMs: number;
  /** Failures a minute; 0: any number. */
  readonly failures: { readonly perUser: number; readonly perAddress: number };
}

/** Whoever holds the key that signs with one of these need not be told the key that verifies. */
const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

const day = 86_400;

const text = () => z.string().min(1, "must not be empty");

const names = () => listOf((name) => name !== "", "must be one or several separated by commas");

/** The settings of who is calling, by name. */
export const authenticationFields = {
  auth: oneOf(["none", "required"]).optional().register(manual, {
    argument: "none|required",
    help: "whether callers must tell who they are, or everybody is anonymous",
    default: "required when there is a way to tell, else none",
  }),
  insecureNoAuth: oneOf(switches).prefault("off").register(manual, {
    argument: "on|off",
    alone: "on",
    help: "serve everybody who reaches an address that is not loopback as anonymous",
  }),
  usersFile: text().optional().register(manual, {
    argument: "path",
    help: "users who may log in with a password; downlease users add makes the file",
    default: "unset",
  }),
  jwtJwks: text()
    .refine(isUrlOrPath, "must be a file, or an http or https URL without credentials")
    .optional()
    .register(manual, {
      argument: "url|path",
      help: "accept bearer tokens signed with one of these keys, a JSON Web Key Set",
      default: "unset",
      secret: true,
    }),
  jwtIssuer: text().optional().register(manual, {
    argument: "name",
    help: "issuer that bearer tokens must have (iss)",
    default: "required with --jwt-jwks",
  }),
  jwtAudience: text().optional().register(manual, {
    argument: "name",
    help: "audience that bearer tokens must have (aud)",
    default: "required with --jwt-jwks",
  }),
  jwtAlgorithms: listOf(
    (name) => algorithms.includes(name),
    `must be one or several of ${algorithms.join(", ")}`,
  )
    .prefault("RS256,PS256,ES256,EdDSA")
    .register(manual, { argument: "names", help: "signature algorithms that bearer tokens may have" }),
  jwtClockToleranceSeconds: seconds(0, 600)
    .prefault("30")
    .register(manual, { argument: "seconds", help: "how far the clock of the issuer of tokens may be off" }),
  jwtPrincipalClaim: text()
    .prefault("sub")
    .register(manual, { argument: "name", help: "claim of a bearer token that names the principal" }),
  jwtRoleClaim: text().prefault("roles").register(manual, {
    argument: "name",
    help: "claim of a bearer token that has the roles; admin and storage count",
  }),
  mtlsCa: pathOf().optional().register(manual, {
    argument: "path",
    help: "accept client certificates that these authorities, a PEM file, have issued",
    default: "unset",
  }),
  mtlsAdmins: names().optional().register(manual, {
    argument: "names",
    help: "names in client certificates that have the role admin",
    default: "unset",
  }),
  mtlsStorage: names().optional().register(manual, {
    argument: "names",
    help: "names in client certificates that have the role storage",
    default: "unset",
  }),
  loginIdleSeconds: seconds(0.001, 30 * day)
    .prefault("1800")
    .register(manual, { argument: "seconds", help: "how long a login session lives without being used" }),
  loginLifetimeSeconds: seconds(0.001, 365 * day)
    .prefault("172800")
    .register(manual, { argument: "seconds", help: "how long a login session lives at most" }),
  loginFailuresPerUser: integer(0, 1_000_000).prefault("20").register(manual, {
    argument: "number",
    help: "wrong passwords a minute after which a user is told to wait; 0 for any number",
  }),
  loginFailuresPerAddress: integer(0, 1_000_000).prefault("20").register(manual, {
    argument: "number",
    help: "wrong passwords a minute after which an address is told to wait; 0 for any number",
  }),
};

type Given = z.output<z.ZodObject<typeof authenticationFields>>;

const methods = "--users-file, --jwt-jwks or --mtls-ca";

/** Rules between settings. */
export const authenticationRules: readonly Rule<Given & { host: string; tlsCert?: string | undefined }>[] = [
  {
    about: ["auth", "usersFile", "jwtJwks", "mtlsCa"],
    path: "auth",
    message: `must be required or left out with ${methods}`,
    holds: (given) => given.auth !== "none" || !hasMethod(given),
  },
  {
    about: ["auth", "usersFile", "jwtJwks", "mtlsCa"],
    path: "auth",
    message: `must be none or left out without ${methods}`,
    holds: (given) => given.auth !== "required" || hasMethod(given),
  },
  {
    about: ["host", "auth", "insecureNoAuth", "usersFile", "jwtJwks", "mtlsCa"],
    path: "host",
    message: `must be a loopback address while callers need not tell who they are (${methods} make them, --insecure-no-auth serves all the same)`,
    holds: (given) => given.insecureNoAuth === "on" || hasMethod(given) || isLoopback(given.host),
  },
  {
    about: ["jwtJwks", "jwtIssuer"],
    path: "jwtIssuer",
    message: "must be set: else tokens of every issuer with these keys would count",
    holds: (given) => given.jwtJwks === undefined || given.jwtIssuer !== undefined,
  },
  {
    about: ["jwtJwks", "jwtAudience"],
    path: "jwtAudience",
    message: "must be set: else tokens that are meant for other services would count",
    holds: (given) => given.jwtJwks === undefined || given.jwtAudience !== undefined,
  },
  {
    about: ["jwtJwks", "jwtIssuer", "jwtAudience"],
    path: "jwtJwks",
    message: "must be set: issuer and audience are those of tokens",
    holds: (given) =>
      given.jwtJwks !== undefined || (given.jwtIssuer === undefined && given.jwtAudience === undefined),
  },
  {
    about: ["tlsCert", "mtlsCa"],
    path: "tlsCert",
    message: "must be set: without TLS no client shows a certificate",
    holds: (given) => given.mtlsCa === undefined || given.tlsCert !== undefined,
  },
  {
    about: ["mtlsCa", "mtlsAdmins", "mtlsStorage"],
    path: "mtlsCa",
    message: "must be set: those who have a role are named by client certificates",
    holds: (given) =>
      given.mtlsCa !== undefined || (given.mtlsAdmins === undefined && given.mtlsStorage === undefined),
  },
  {
    about: ["loginIdleSeconds", "loginLifetimeSeconds"],
    path: "loginIdleSeconds",
    message: "must not be more than the lifetime of a login session",
    holds: (given) => given.loginIdleSeconds <= given.loginLifetimeSeconds,
  },
];

/** Undefined: everybody is anonymous. */
export function authenticationConfig(given: Given): AuthenticationConfig | undefined {
  if (!hasMethod(given)) return undefined;
  const { jwtJwks: jwks, jwtIssuer: issuer, jwtAudience: audience, mtlsCa: ca } = given;
  const hasTokens = jwks !== undefined && issuer !== undefined && audience !== undefined;
  return Object.freeze({
    usersFile: given.usersFile,
    jwt: hasTokens
      ? Object.freeze({
          jwks,
          issuer,
          audience,
          algorithms: given.jwtAlgorithms,
          clockToleranceMs: given.jwtClockToleranceSeconds,
          principalClaim: given.jwtPrincipalClaim,
          roleClaim: given.jwtRoleClaim,
        })
      : undefined,
    mtls:
      ca === undefined
        ? undefined
        : Object.freeze({
            ca,
            namesByRole: { admin: given.mtlsAdmins ?? [], storage: given.mtlsStorage ?? [] },
          }),
  });
}

export function loginConfig(given: Given): LoginConfig {
  return Object.freeze({
    idleMs: given.loginIdleSeconds,
    lifetimeMs: given.loginLifetimeSeconds,
    failures: Object.freeze({
      perUser: given.loginFailuresPerUser,
      perAddress: given.loginFailuresPerAddress,
    }),
  });
}

function hasMethod({ usersFile, jwtJwks, mtlsCa }: Given): boolean {
  return usersFile !== undefined || jwtJwks !== undefined || mtlsCa !== undefined;
}

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8);
loopback.addAddress("::1", "ipv6");

/** Whether only programs on this machine reach the address. */
export function isLoopback(host: string): boolean {
  const version = isIP(host);
  if (version === 0) return /^localhost\.?$/i.test(host);
  return loopback.check(host, version === 6 ? "ipv6" : "ipv4");
}

function isUrlOrPath(value: string): boolean {
  return !value.includes("://") || isHttpUrl(value);
}
