import { z } from "zod";
import type { SettingsSchema } from "../domain/settings-schema.ts";
import { authenticationFields, authenticationOf, authenticationRules } from "./authentication.ts";
import { contentFields, contentOf, contentRules } from "./content.ts";
import { downloadFields, offloadOf } from "./downloads.ts";
import {
  filePath,
  integer,
  type Manual,
  manual,
  oneOf,
  onOff,
  type Rule,
  rangeOf,
  type SettingNames,
  seconds,
  settingNameOf,
  type ValueRange,
} from "./fields.ts";
import { addressFields, adminFields, corsFields, tlsFields, tlsOf, tlsRules } from "./listening.ts";
import { preparationFields } from "./preparation.ts";
import { redisFields, redisRules } from "./redis.ts";
import { SecretUrl } from "./secret.ts";
import { fileTwinOf } from "./secret-file.ts";
import type { TracingConfig } from "./tracing.ts";

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
const logFormats = ["auto", "pretty", "json"] as const;

const day = 86_400;
const inMemory = ":memory:";

/** Where sessions are kept, and for how long. */
const sessionFields = {
  /** Without it, sessions are kept in the SQLite file. */
  redisUrl: z
    .string()
    .regex(
      /^rediss?(\+(cluster|sentinel))?:\/\/./,
      "must start with redis://, rediss://, redis+cluster:// or redis+sentinel://",
    )
    .transform((url) => new SecretUrl(url))
    .optional()
    .register(manual, {
      argument: "url",
      help: "keep sessions in Redis: redis://, rediss://, redis+cluster:// or redis+sentinel://",
      default: "unset, sessions are kept in SQLite",
      secret: true,
    }),
  redis: redisFields,
  sqlitePath: filePath()
    .prefault("downlease.db")
    .register(manual, {
      argument: "path",
      help: `keep sessions in this SQLite file, or in ${inMemory}, when there is no Redis URL`,
    }),
  leaseMs: seconds(0.001, 30 * day)
    .prefault("300")
    .register(manual, {
      argument: "seconds",
      help: "lifetime of a session without a keep-alive",
      changeable: true,
    }),
  retentionMs: seconds(0.001, 30 * day)
    .optional()
    .register(manual, {
      argument: "seconds",
      help: "how long a canceled or failed session stays readable",
      default: "the lease length",
      changeable: true,
    }),
  maxSessionsPerPrincipal: integer(0, 100_000).prefault("10000").register(manual, {
    argument: "number",
    help: "maximum number of sessions of one principal, canceled and failed ones included; 0 for any number",
    changeable: true,
  }),
  maxDowntimeMs: seconds(0, 30 * day)
    .prefault("3600")
    .register(manual, {
      argument: "seconds",
      help: "sessions in SQLite live on for as long as the service was down, at most this long; 0 for never",
    }),
};

const shutdownFields = {
  graceMs: seconds(0.001, 3600)
    .prefault("10")
    .register(manual, { argument: "seconds", help: "shutdown timeout" }),
  transferGraceMs: seconds(0, 7 * day)
    .prefault("0")
    .register(manual, {
      argument: "seconds",
      help: "how long downloads that are running at a shutdown may go on, when that is longer than the shutdown timeout",
    }),
  drainMs: seconds(0, 3600).prefault("0").register(manual, {
    argument: "seconds",
    help: "part of the shutdown timeout to keep accepting while /readyz reports not ready, for load balancers",
  }),
};

const callFields = {
  maxBodyBytes: integer(1, 64 * 1024 * 1024)
    .prefault("65536")
    .register(manual, { argument: "bytes", help: "maximum size of an RPC or REST message" }),
  maxCalls: integer(1, 1_000_000).prefault("1000").register(manual, {
    argument: "number",
    help: "maximum number of calls in flight; more are refused at once with the time to retry after",
    changeable: true,
  }),
  maxConnections: integer(1, 1_000_000).prefault("10000").register(manual, {
    argument: "number",
    help: "maximum number of open connections, four fifths of them from one address; more are closed at once",
  }),
  maxStreams: integer(1, 1_000_000).prefault("2000").register(manual, {
    argument: "number",
    help: "maximum number of open streams of callers (keep-alives, watches); more are refused at once with the time to retry after",
  }),
  maxWatches: integer(1, 1_000_000).prefault("500").register(manual, {
    argument: "number",
    help: "maximum number of open streams that need no credentials (gRPC health, server reflection)",
  }),
  fastLane: onOff().prefault("on").register(manual, {
    argument: "on|off",
    help: "serve plain gRPC and Connect calls without Connect's runtime, or every call with it",
  }),
};

const logFields = {
  logLevel: oneOf(logLevels)
    .prefault("info")
    .register(manual, {
      argument: "level",
      help: `minimum level to log: ${logLevels.join(", ")}`,
      changeable: true,
    }),
  logFormat: oneOf(logFormats)
    .prefault("auto")
    .register(manual, { argument: "format", help: "pretty, json, or auto: pretty on a terminal, else json" }),
  auditLog: filePath().prefault("off").register(manual, {
    argument: "off|path|-",
    help: "append a line of JSON to this file, or to the standard output (-), for each call that changes something and each login",
  }),
};

/**
 * Every setting, declared once. Takes texts, gives a `Config`. A field's path is its name: `leaseMs` is
 * `--lease-seconds` and `DOWNLEASE_LEASE_SECONDS`, `issuer` in `jwt` is `--jwt-issuer`. Defaults are texts as well,
 * so that they go through the same checks.
 */
const fields = z.object({
  ...addressFields,
  ...contentFields,
  ...preparationFields,
  ...sessionFields,
  ...shutdownFields,
  ...tlsFields,
  ...authenticationFields,
  ...downloadFields,
  ...corsFields,
  ...adminFields,
  ...callFields,
  ...logFields,
});

export type SettingName = SettingNames<typeof fields.shape>;

const rules: readonly Rule<typeof fields.shape>[] = [
  ...tlsRules,
  {
    about: ["drainSeconds", "graceSeconds"],
    path: "drainSeconds",
    message: "must be less than the shutdown timeout, --grace-seconds",
    holds: ({ drainMs, graceMs }) => drainMs < graceMs,
  },
  {
    about: ["workers", "redisUrl", "sqlitePath"],
    path: "workers",
    message: `must be 1 when sessions are kept in ${inMemory}, which processes can't share`,
    holds: ({ workers, redisUrl, sqlitePath }) =>
      workers === 1 || redisUrl !== undefined || sqlitePath !== inMemory,
  },
  ...redisRules,
  ...contentRules,
  {
    about: ["offload", "s3Bucket"],
    path: "offload",
    message: "must be none or x-accel-redirect without --s3-bucket: only object storage has URLs of its own",
    holds: ({ offload, s3 }) => offload !== "redirect" || s3.bucket !== undefined,
  },
  ...authenticationRules,
];

/**
 * Zod checks no rule between settings when any setting is wrong. All mistakes are reported at once, so a rule
 * of ours is left out only when the settings that it is about are wrong.
 */
const checked = rules.reduce(
  (schema, { about, path, message, holds }) =>
    schema.refine(holds, {
      path: [path],
      message,
      when: ({ issues }) =>
        !issues.some((issue) => about.some((name) => name === settingNameOf(issue.path ?? []))),
    }),
  fields,
);

/** Texts at the paths of the fields → Config. An issue's path has the name of the setting, see `settingNameOf`. */
export const configSchema = checked.transform(({ s3, cache, offloadPrefix, ...values }) => ({
  ...values,
  ...authenticationOf(values),
  content: contentOf({ content: values.content, s3, cache }),
  retentionMs: values.retentionMs ?? values.leaseMs,
  tls: tlsOf(values.tls),
  offload: offloadOf({ ...values, offloadPrefix }),
}));

/** The values of all settings of the service, checked; lengths of time in milliseconds. */
export type ConfigValues = Readonly<z.output<typeof configSchema>>;

/** All settings of the service. */
export interface Config extends ConfigValues {
  /** Those that may change while the service runs; their values above are only the first ones. */
  readonly changeable: SettingsSchema;
  /** Undefined while OpenTelemetry's own variables ask for no traces. */
  readonly tracing?: TracingConfig | undefined;
}

/** `on` or `off`, entries with commas between them, or any other text. */
export type SettingForm = "switch" | "list" | "text";

/** What the command line, the environment and a configuration file may hold. */
export interface Setting extends Omit<Manual, "argument"> {
  readonly name: SettingName | `${SettingName}File` | "config";
  readonly form: SettingForm;
  /** For example `--lease-seconds`. */
  readonly flag: string;
  /** The flag with its argument, for example `--lease-seconds <seconds>`. */
  readonly usage: string;
  /** For example `DOWNLEASE_LEASE_SECONDS`. */
  readonly variable: string;
  readonly default: string;
}

/** A setting with a field. */
export interface FieldSetting extends Setting {
  readonly name: SettingName;
  /** Names of the groups and of the field. */
  readonly path: readonly string[];
  /** What its values are. */
  readonly range: ValueRange;
  /** The setting that names a file for the value; only when it is a secret. */
  readonly file?: Setting;
}

export const fieldSettings: readonly FieldSetting[] = settingsIn(fields, []);

/** The file that holds settings, which can't name itself. */
export const configSetting: Setting = {
  name: "config",
  form: "text",
  flag: "--config",
  usage: "--config <path>",
  variable: "DOWNLEASE_CONFIG",
  help: "YAML file of settings, each by the name of its flag; flags and variables win over it",
  default: "unset",
};

/** Every setting, in the order of the help. */
export const settings: readonly Setting[] = [
  configSetting,
  ...fieldSettings.flatMap((setting) => (setting.file === undefined ? [setting] : [setting, setting.file])),
];

function settingsIn(group: z.ZodObject, path: readonly string[]): FieldSetting[] {
  return Object.entries(group.shape).flatMap(([key, schema]) =>
    schema instanceof z.ZodObject ? settingsIn(schema, [...path, key]) : settingOf(schema, [...path, key]),
  );
}

function settingOf(schema: z.core.$ZodType, path: readonly string[]): FieldSetting {
  const described = manual.get(schema)!;
  const name = settingNameOf(path) as SettingName;
  const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const variable = `DOWNLEASE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
  return {
    ...described,
    name,
    path,
    form: formOf(described.argument),
    flag,
    usage: `${flag} ${described.alone === undefined ? `<${described.argument}>` : `[${described.argument}]`}`,
    variable,
    range: rangeOf(schema),
    ...(described.secret && { file: { ...fileTwinOf({ name, variable }), form: "text", default: "unset" } }),
    default:
      schema instanceof z.ZodPrefault ? String(schema.def.defaultValue) : (described.default ?? "required"),
  };
}

function formOf(argument: string): SettingForm {
  if (argument === "on|off") return "switch";
  return argument === "list" || argument === "names" ? "list" : "text";
}
