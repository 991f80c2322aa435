import { z } from "zod";
import { filePath, manual, type Rule } from "./fields.ts";
import { SecretText, type SecretUrl } from "./secret.ts";

const unset = { default: "unset" };

/** What connections to Redis need besides the URL. */
export const redisFields = z.object({
  ca: filePath().optional().register(manual, {
    argument: "path",
    help: "check certificates of Redis and its sentinels against the authorities in this PEM file",
    default: "those of Node.js",
  }),
  cert: filePath()
    .optional()
    .register(manual, {
      ...unset,
      argument: "path",
      help: "show Redis this PEM certificate chain of a client",
    }),
  key: filePath()
    .optional()
    .register(manual, { ...unset, argument: "path", help: "PEM private key of the client's certificate" }),
  sentinelUser: z
    .string()
    .min(1, "must not be empty")
    .optional()
    .register(manual, {
      ...unset,
      argument: "name",
      help: "user at the sentinels, when they have access lists",
    }),
  sentinelPassword: z
    .string()
    .min(1, "must not be empty")
    .transform((text) => new SecretText(text))
    .optional()
    .register(manual, {
      ...unset,
      argument: "text",
      help: "password of the sentinels; that of the servers they watch is in the URL",
      secret: true,
    }),
});

type RedisRule = Rule<{
  redisUrl: z.ZodOptional<z.ZodPipe<z.ZodString, z.ZodTransform<SecretUrl, string>>>;
  redis: typeof redisFields;
}>;

const bothOrNone = "must be set: certificate and key belong together";
const schemeOf = (url: SecretUrl | undefined) => url?.reveal().split(":")[0] ?? "";

export const redisRules: readonly RedisRule[] = [
  {
    about: ["redisKey"],
    path: "redisCert",
    message: bothOrNone,
    holds: ({ redis }) => redis.cert !== undefined || redis.key === undefined,
  },
  {
    about: ["redisCert"],
    path: "redisKey",
    message: bothOrNone,
    holds: ({ redis }) => redis.key !== undefined || redis.cert === undefined,
  },
  {
    about: ["redisUrl", "redisCa", "redisCert"],
    path: "redisUrl",
    message: "must start with rediss: certificates need TLS",
    holds: ({ redisUrl, redis }) =>
      schemeOf(redisUrl).startsWith("rediss") || (redis.ca === undefined && redis.cert === undefined),
  },
  {
    about: ["redisUrl", "redisSentinelUser", "redisSentinelPassword"],
    path: "redisUrl",
    message: "must name sentinels, which the user and the password of the sentinels are for",
    holds: ({ redisUrl, redis }) =>
      schemeOf(redisUrl).endsWith("+sentinel") ||
      (redis.sentinelUser === undefined && redis.sentinelPassword === undefined),
  },
  {
    about: ["redisSentinelUser", "redisSentinelPassword"],
    path: "redisSentinelPassword",
    message: "must be set: a user has a password",
    holds: ({ redis }) => redis.sentinelPassword !== undefined || redis.sentinelUser === undefined,
  },
];
