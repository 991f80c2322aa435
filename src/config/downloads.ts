import { z } from "zod";
import { isAddressRange } from "./addresses.ts";
import { commaSeparated, integer, isHttpUrl, manual, oneOf, optionalListOf, seconds } from "./fields.ts";
import { SecretBytes } from "./secret.ts";

const offloads = ["none", "x-accel-redirect", "redirect"] as const;

/** How links are made and files are sent. */
export const downloadFields = {
  /** Origin, and a path if links are below one, without a slash at the end. */
  publicUrl: z
    .string()
    .refine(isBaseUrl, "must be an http or https URL without credentials, query and fragment")
    .transform((url) => URL.parse(url)!.href.replace(/\/+$/, ""))
    .optional()
    .register(manual, {
      argument: "url",
      help: "base URL of download links, for example https://dl.example or https://example.org/vi",
      default: "derived from the request",
    }),
  trustedProxies: optionalListOf(
    isAddressRange,
    "must be addresses and networks such as 10.0.0.5,192.168.0.0/16,fd00::/8",
  ).register(manual, {
    argument: "list",
    help: "addresses and networks of proxies in front, whose Forwarded and X-Forwarded-… headers are trusted",
    default: "none",
  }),
  /** The first key signs, every key verifies; empty: one key that the store keeps. */
  linkKeys: commaSeparated()
    .transform((entries) => entries.map((entry) => linkKey(entry) ?? invalidKey))
    .refine(
      (keys) => !keys.includes(invalidKey) && new Set(keys.map(({ id }) => id)).size === keys.length,
      "must be id=secret, or several with commas between them: different ids of letters, digits, '.', '_' and '-', secrets of 32 bytes or more in base64",
    )
    .optional()
    .transform((keys) => keys ?? [])
    .register(manual, {
      argument: "list",
      help: "keys of download links, each id=secret with the secret in base64; the first one signs, every one verifies",
      default: "one that the store keeps",
      secret: true,
    }),
  transferStallMs: seconds(0.001, 86_400)
    .prefault("60")
    .register(manual, { argument: "seconds", help: "end a download after this long without progress" }),
  maxTransfers: integer(1, 1_000_000).prefault("1000").register(manual, {
    argument: "number",
    help: "maximum number of downloads at a time, with shares by session, principal and address; more are refused at once",
    changeable: true,
  }),
  transferBandwidthMbps: integer(0, 1_000_000, "Mbit/s").prefault("0").register(manual, {
    argument: "number",
    help: "limit of all downloads together in Mbit/s, over all replicas; 0 for no limit",
    changeable: true,
  }),
  offload: oneOf(offloads)
    .prefault("none")
    .register(manual, {
      argument: offloads.join("|"),
      help: "let nginx in front, or the object storage by redirects, send the files; such downloads are not cut with their session",
    }),
  offloadPrefix: z
    .string()
    .regex(/^\/([\w.~-]+\/)+$/, "must be a path that starts and ends with '/'")
    .prefault("/_content/")
    .register(manual, { argument: "path", help: "internal location of nginx over the content root" }),
};

/** Who sends the files; undefined: this service. */
export function offloadOf({ offload, offloadPrefix }: z.output<z.ZodObject<typeof downloadFields>>) {
  if (offload === "none") return undefined;
  return offload === "redirect"
    ? { to: "storage" as const }
    : { to: "nginx" as const, prefix: offloadPrefix };
}

function isBaseUrl(text: string): boolean {
  return isHttpUrl(text) && !/[?#]/.test(text);
}

/** A key that signs links. */
export interface ConfiguredLinkKey {
  readonly id: string;
  readonly secret: SecretBytes;
}

const minSecretBytes = 32;

const invalidKey: ConfiguredLinkKey = { id: "", secret: new SecretBytes(new Uint8Array()) };

function linkKey(entry: string): ConfiguredLinkKey | undefined {
  const [, id, text] = /^([\w.-]{1,64})=([\w+/-]+={0,2})$/.exec(entry) ?? [];
  if (id === undefined || text === undefined) return undefined;
  const bytes = Buffer.from(text, "base64");
  return bytes.byteLength < minSecretBytes ? undefined : { id, secret: new SecretBytes(bytes) };
}
