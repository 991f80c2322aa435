import { z } from "zod";
import { isLoopback } from "./addresses.ts";
import {
  filePath,
  integer,
  isHttpUrl,
  listOf,
  manual,
  oneOf,
  onOff,
  optionalListOf,
  type Rule,
  seconds,
} from "./fields.ts";
import type { addressFields, tlsFields } from "./listening.ts";

/** Asymmetric ones: a service that verifies tokens must not hold the key that signs them. */
const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

const day = 86_400;

const text = () => z.string().min(1, "must not be empty");

const names = () => optionalListOf((name) => name !== "", "must be one or several separated by commas");

/** How callers authenticate. */
export const authenticationFields = {
  auth: oneOf(["none", "required"]).optional().register(manual, {
    argument: "none|required",
    help: "require authentication, or treat every caller as anonymous",
    default: "required with --users-file, --jwt-jwks or --mtls-ca, else none",
  }),
  insecureNoAuth: onOff().prefault("off").register(manual, {
    argument: "on|off",
    alone: "on",
    help: "allow anonymous callers on an address that is not loopback",
  }),
  usersFile: text().optional().register(manual, {
    argument: "path",
    help: "file of users who may log in with a password; downlease users add creates it",
    default: "unset",
  }),
  jwt: z.object({
    jwks: text()
      .refine(isUrlOrPath, "must be a file, or an http or https URL without credentials")
      .optional()
      .register(manual, {
        argument: "url|path",
        help: "accept bearer tokens signed with a key of this JSON Web Key Set",
        default: "unset",
        unquoted: true,
      }),
    issuer: text().optional().register(manual, {
      argument: "name",
      help: "required issuer (iss) of bearer tokens",
      default: "required with --jwt-jwks",
    }),
    audience: text().optional().register(manual, {
      argument: "name",
      help: "required audience (aud) of bearer tokens",
      default: "required with --jwt-jwks",
    }),
    algorithms: listOf(
      (name) => algorithms.includes(name),
      `must be one or several of ${algorithms.join(", ")}`,
    )
      .prefault("RS256,PS256,ES256,EdDSA")
      .register(manual, { argument: "names", help: "accepted signature algorithms of bearer tokens" }),
    type: optionalListOf(
      (name) => /^[\w.+-]+(\/[\w.+-]+)?$/.test(name),
      "must be types such as at+jwt, with commas between them",
    ).register(manual, {
      argument: "names",
      help: "accepted types (typ) of bearer tokens; with it, tokens without a type are refused",
      default: "JWT, at+jwt and none",
    }),
    clockToleranceMs: seconds(0, 600)
      .prefault("30")
      .register(manual, { argument: "seconds", help: "accepted clock difference to the issuer of tokens" }),
    principalClaim: text()
      .prefault("sub")
      .register(manual, { argument: "name", help: "claim of a bearer token that holds the principal" }),
    roleClaim: text().prefault("roles").register(manual, {
      argument: "name",
      help: "claim of a bearer token that holds the roles; names other than admin and storage are ignored",
    }),
  }),
  mtls: z.object({
    ca: filePath().optional().register(manual, {
      argument: "path",
      help: "accept client certificates issued by the authorities in this PEM file",
      default: "unset",
    }),
    admins: names().register(manual, {
      argument: "names",
      help: "names in client certificates that have the role admin",
      default: "unset",
    }),
    storage: names().register(manual, {
      argument: "names",
      help: "names in client certificates that have the role storage",
      default: "unset",
    }),
  }),
  loginsPerPrincipal: integer(0, 1_000_000).prefault("1000").register(manual, {
    argument: "number",
    help: "login sessions a minute that a principal may open, counted over all replicas; 0 for no limit",
    changeable: true,
  }),
  login: z.object({
    idleMs: seconds(0.001, 30 * day)
      .prefault("1800")
      .register(manual, { argument: "seconds", help: "lifetime of a login session that is not used" }),
    lifetimeMs: seconds(0.001, 365 * day)
      .prefault("172800")
      .register(manual, { argument: "seconds", help: "maximum lifetime of a login session" }),
    failures: z.object({
      perUser: integer(0, 1_000_000).prefault("20").register(manual, {
        argument: "number",
        help: "wrong passwords a minute after which logins of a user are refused; 0 for no limit",
      }),
      perAddress: integer(0, 1_000_000).prefault("20").register(manual, {
        argument: "number",
        help: "wrong passwords a minute after which logins from an address are refused; 0 for no limit",
      }),
    }),
  }),
};

type Values = z.output<z.ZodObject<typeof authenticationFields>>;
type AuthenticationRule = Rule<
  typeof authenticationFields & Pick<typeof addressFields, "host"> & typeof tlsFields
>;

const methods = "--users-file, --jwt-jwks or --mtls-ca";

export const authenticationRules: readonly AuthenticationRule[] = [
  {
    about: ["auth", "usersFile", "jwtJwks", "mtlsCa"],
    path: "auth",
    message: `must be required or left out with ${methods}`,
    holds: (values) => values.auth !== "none" || !hasMethod(values),
  },
  {
    about: ["auth", "usersFile", "jwtJwks", "mtlsCa"],
    path: "auth",
    message: `must be none or left out without ${methods}`,
    holds: (values) => values.auth !== "required" || hasMethod(values),
  },
  {
    about: ["host", "auth", "insecureNoAuth", "usersFile", "jwtJwks", "mtlsCa"],
    path: "host",
    message: `must be a loopback address while every caller is anonymous (${methods} require authentication, --insecure-no-auth allows it)`,
    holds: (values) => values.insecureNoAuth || hasMethod(values) || isLoopback(values.host),
  },
  {
    about: ["jwtJwks", "jwtIssuer"],
    path: "jwtIssuer",
    message: "must be set: else tokens of every issuer with these keys would be accepted",
    holds: ({ jwt }) => jwt.jwks === undefined || jwt.issuer !== undefined,
  },
  {
    about: ["jwtJwks", "jwtAudience"],
    path: "jwtAudience",
    message: "must be set: else tokens for other services would be accepted",
    holds: ({ jwt }) => jwt.jwks === undefined || jwt.audience !== undefined,
  },
  {
    about: ["jwtJwks", "jwtIssuer", "jwtAudience"],
    path: "jwtJwks",
    message: "must be set: issuer and audience apply to bearer tokens",
    holds: ({ jwt }) => jwt.jwks !== undefined || (jwt.issuer === undefined && jwt.audience === undefined),
  },
  {
    about: ["tlsCert", "mtlsCa"],
    path: "tlsCert",
    message: "must be set: client certificates need TLS",
    holds: ({ mtls, tls }) => mtls.ca === undefined || tls.cert !== undefined,
  },
  {
    about: ["mtlsCa", "mtlsAdmins", "mtlsStorage"],
    path: "mtlsCa",
    message: "must be set: the roles apply to names in client certificates",
    holds: ({ mtls }) => mtls.ca !== undefined || (mtls.admins.length === 0 && mtls.storage.length === 0),
  },
  {
    about: ["loginIdleSeconds", "loginLifetimeSeconds"],
    path: "loginIdleSeconds",
    message: "must not be more than the lifetime of a login session",
    holds: ({ login }) => login.idleMs <= login.lifetimeMs,
  },
];

/** What applies when `auth` is left out, and each method only when it is complete. */
export function authenticationOf(values: Values) {
  const { jwks, issuer, audience, type: types, ...jwt } = values.jwt;
  const { ca, admins: admin, storage } = values.mtls;
  const hasTokens = jwks !== undefined && issuer !== undefined && audience !== undefined;
  return {
    auth: hasMethod(values) ? ("required" as const) : ("none" as const),
    jwt: hasTokens ? { jwks, issuer, audience, types, ...jwt } : undefined,
    mtls: ca === undefined ? undefined : { ca, namesByRole: { admin, storage } },
  };
}

function hasMethod({ usersFile, jwt, mtls }: Values): boolean {
  return usersFile !== undefined || jwt.jwks !== undefined || mtls.ca !== undefined;
}

function isUrlOrPath(value: string): boolean {
  return !value.includes("://") || isHttpUrl(value);
}
