import { isIP } from "node:net";
import { z } from "zod";
import {
  type AuthenticationConfig,
  authenticationConfig,
  authenticationFields,
  authenticationRules,
  type LoginConfig,
  loginConfig,
} from "./authentication.ts";
import { type ContentConfig, contentConfig, contentFields, contentRules } from "./content.ts";
import { type DownloadsConfig, downloadsConfig, downloadsFields } from "./downloads.ts";
import {
  integer,
  listOf,
  type Manual,
  manual,
  oneOf,
  pathOf,
  type Rule,
  seconds,
  switches,
} from "./fields.ts";
import { SecretUrl } from "./secret.ts";

/** Everything the service can be told, checked; lengths of time in milliseconds. */
export interface Config {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Processes that serve; with more than one, a supervisor besides. */
  readonly workers: number;
  readonly content: ContentConfig;
  /** Sessions live there; when unset, in the SQLite file. */
  readonly redisUrl: SecretUrl | undefined;
  /** A file, or `:memory:`. */
  readonly sqlitePath: string;
  readonly leaseMs: number;
  readonly retentionMs: number;
  /** How long a stop may take, draining included. */
  readonly graceMs: number;
  /** How long a stopping service, already reported as not ready, keeps accepting. */
  readonly drainMs: number;
  /** Paths of PEM files. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Undefined: everybody is anonymous. */
  readonly authentication: AuthenticationConfig | undefined;
  readonly login: LoginConfig;
  readonly transfer: DownloadsConfig;
  /** Origins whose pages may read answers. */
  readonly corsOrigins: readonly string[];
  readonly maxBodyBytes: number;
  /** Calls that may be under way at a time; more are refused at once. */
  readonly maxCalls: number;
  /** Whether plain RPCs take the short way past Connect's runtime. */
  readonly fastLane: boolean;
  readonly logLevel: (typeof logLevels)[number];
  readonly logFormat: (typeof logFormats)[number];
}

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
const logFormats = ["auto", "pretty", "json"] as const;

const day = 86_400;
const inMemory = ":memory:";

/**
 * The one list of settings, by name: `leaseSeconds` is `--lease-seconds` and `DOWNLEASE_LEASE_SECONDS`. Takes
 * texts, gives a `Config`. Defaults are texts as well, so that they go through the same checks.
 */
const fields = z.object({
  host: z
    .string()
    .refine(isHost, "must be an IP address or a host name")
    .prefault("127.0.0.1")
    .register(manual, { argument: "address", help: "address to listen on" }),
  port: integer(0, 65_535)
    .prefault("8080")
    .register(manual, { argument: "number", help: "port to listen on; 0 picks a free one" }),
  workers: integer(1, 128)
    .prefault("1")
    .register(manual, { argument: "number", help: "processes that serve, all on the one port" }),
  ...contentFields,
  redisUrl: z
    .string()
    .regex(
      /^rediss?(\+(cluster|sentinel))?:\/\/./,
      "must start with redis://, rediss://, redis+cluster:// or redis+sentinel://",
    )
    .optional()
    .register(manual, {
      argument: "url",
      help: "keep sessions in Redis: redis://, rediss://, redis+cluster:// or redis+sentinel://",
      default: "unset, sessions are kept in SQLite",
      secret: true,
    }),
  sqlitePath: pathOf().prefault("downlease.db").register(manual, {
    argument: "path",
    help: "keep sessions in this SQLite file, or in :memory:, when there is no Redis URL",
  }),
  leaseSeconds: seconds(0.001, 30 * day)
    .prefault("300")
    .register(manual, { argument: "seconds", help: "how long a session lives without a keep-alive" }),
  retentionSeconds: seconds(0.001, 30 * day)
    .optional()
    .register(manual, {
      argument: "seconds",
      help: "how long a canceled or failed session can still be read",
      default: "the lease length",
    }),
  graceSeconds: seconds(0.001, 3600)
    .prefault("10")
    .register(manual, { argument: "seconds", help: "how long a stop may take" }),
  drainSeconds: seconds(0, 3600).prefault("0").register(manual, {
    argument: "seconds",
    help: "how much of the grace to go on accepting while reported not ready, for load balancers to notice",
  }),
  tlsCert: pathOf().optional().register(manual, {
    argument: "path",
    help: "serve TLS with this PEM certificate chain",
    default: "unset",
  }),
  tlsKey: pathOf()
    .optional()
    .register(manual, { argument: "path", help: "the certificate's PEM private key", default: "unset" }),
  ...authenticationFields,
  ...downloadsFields,
  corsOrigins: listOf(
    isOrigin,
    "must be origins such as https://portal.example, with commas between them and without paths or wildcards",
  )
    .optional()
    .register(manual, {
      argument: "list",
      help: "let pages of these origins call the service, for example https://portal.example,http://localhost:5173",
      default: "none",
    }),
  maxBodyBytes: integer(1, 64 * 1024 * 1024)
    .prefault("65536")
    .register(manual, { argument: "bytes", help: "largest RPC or REST message" }),
  maxCalls: integer(1, 1_000_000).prefault("1000").register(manual, {
    argument: "number",
    help: "calls that may be under way at a time; more are refused at once and told when to try again",
  }),
  fastLane: oneOf(switches).prefault("on").register(manual, {
    argument: "on|off",
    help: "serve plain gRPC and Connect calls the short way, or leave all of them to Connect's runtime",
  }),
  logLevel: oneOf(logLevels)
    .prefault("info")
    .register(manual, { argument: "level", help: `least level to log: ${logLevels.join(", ")}` }),
  logFormat: oneOf(logFormats)
    .prefault("auto")
    .register(manual, { argument: "format", help: "pretty, json, or auto: pretty on a terminal, else json" }),
});

export type SettingName = keyof typeof fields.shape;

const pair = "must be set: certificate and key belong together";

const rules: readonly Rule<z.output<typeof fields>>[] = [
  {
    about: ["tlsKey"],
    path: "tlsCert",
    message: pair,
    holds: (given) => given.tlsCert !== undefined || given.tlsKey === undefined,
  },
  {
    about: ["tlsCert"],
    path: "tlsKey",
    message: pair,
    holds: (given) => given.tlsKey !== undefined || given.tlsCert === undefined,
  },
  {
    about: ["drainSeconds", "graceSeconds"],
    path: "drainSeconds",
    message: "must be less than the grace",
    holds: (given) => given.drainSeconds < given.graceSeconds,
  },
  {
    about: ["workers", "redisUrl", "sqlitePath"],
    path: "workers",
    message: `must be 1 when sessions are kept in ${inMemory}, which processes can't share`,
    holds: (given) => given.workers === 1 || given.redisUrl !== undefined || given.sqlitePath !== inMemory,
  },
  ...contentRules,
  ...authenticationRules,
];

/**
 * Zod leaves a rule between settings out when any setting is wrong. All mistakes are to be told at once, so ours
 * is left out only when the settings that it is about are.
 */
const checked = rules.reduce(
  (schema, { about, path, message, holds }) =>
    schema.refine(holds, {
      path: [path],
      message,
      when: ({ issues }) => !issues.some(({ path: of }) => about.some((name) => name === of?.[0])),
    }),
  fields,
);

/** Texts by setting name → Config. An issue's path is the name of the setting. */
export const configSchema = checked.transform(
  (given): Config => ({
    host: given.host,
    port: given.port,
    workers: given.workers,
    content: contentConfig(given),
    redisUrl: given.redisUrl === undefined ? undefined : new SecretUrl(given.redisUrl),
    sqlitePath: given.sqlitePath,
    leaseMs: given.leaseSeconds,
    retentionMs: given.retentionSeconds ?? given.leaseSeconds,
    graceMs: given.graceSeconds,
    drainMs: given.drainSeconds,
    tls:
      given.tlsCert === undefined || given.tlsKey === undefined
        ? undefined
        : Object.freeze({ cert: given.tlsCert, key: given.tlsKey }),
    authentication: authenticationConfig(given),
    login: loginConfig(given),
    transfer: downloadsConfig(given),
    corsOrigins: Object.freeze(given.corsOrigins ?? []),
    maxBodyBytes: given.maxBodyBytes,
    maxCalls: given.maxCalls,
    fastLane: given.fastLane === "on",
    logLevel: given.logLevel,
    logFormat: given.logFormat,
  }),
);

export interface Setting extends Manual {
  readonly name: SettingName;
  /** For example `--lease-seconds`. */
  readonly flag: string;
  /** The flag with what it takes, for example `--lease-seconds <seconds>`. */
  readonly usage: string;
  /** For example `DOWNLEASE_LEASE_SECONDS`. */
  readonly variable: string;
  readonly default: string;
}

/** Every setting, in the order of the help. */
export const settings: readonly Setting[] = Object.entries(fields.shape).map(([name, schema]) => {
  const told = manual.get(schema)!;
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  return {
    ...told,
    name: name as SettingName,
    flag,
    usage: `${flag} ${told.alone === undefined ? `<${told.argument}>` : `[${told.argument}]`}`,
    variable: `DOWNLEASE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
    default: schema instanceof z.ZodPrefault ? String(schema.def.defaultValue) : (told.default ?? "required"),
  };
});

/** In the spelling of browsers, with which it is compared as it is. */
function isOrigin(text: string): boolean {
  return /^https?:[^*]*$/.test(text) && URL.parse(text)?.origin === text;
}

function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(text);
}
