import { isIP } from "node:net";
import { z } from "zod";
import { integer, isHttpUrl, listed, listOf, manual, oneOf, seconds } from "./fields.ts";
import { SecretBytes } from "./secret.ts";

/** A key that links are signed with. */
export interface LinkKeyConfig {
  readonly id: string;
  readonly secret: SecretBytes;
}

/** How links are made and files are sent. */
export interface DownloadsConfig {
  /** Origin, and a path if links are below one, without a slash at its end; undefined: as the request tells. */
  readonly publicUrl: string | undefined;
  /** The first one signs, each one verifies; empty: one that the store keeps. */
  readonly linkKeys: readonly LinkKeyConfig[];
  /** Addresses and CIDRs of proxies whose word counts. */
  readonly trustedProxies: readonly string[];
  /** How long a transfer may be without any progress. */
  readonly stallMs: number;
  /** Downloads at a time. */
  readonly maxTransfers: number;
  /** Path of the proxy's location over the content root; undefined: files are sent by this service. */
  readonly offloadPrefix: string | undefined;
}

const offloads = ["none", "x-accel-redirect"] as const;

/** The settings of links and transfers, by name. */
export const downloadsFields = {
  publicUrl: z
    .string()
    .refine(isBaseUrl, "must be an http or https URL without credentials, query and fragment")
    .transform((url) => URL.parse(url)!.href.replace(/\/+$/, ""))
    .optional()
    .register(manual, {
      argument: "url",
      help: "how clients reach the download links, for example https://dl.example or https://example.org/vi",
      default: "as the request tells",
    }),
  trustedProxies: listOf(
    isAddressRange,
    "must be addresses and networks such as 10.0.0.5,192.168.0.0/16,fd00::/8",
  )
    .optional()
    .register(manual, {
      argument: "list",
      help: "addresses and networks of proxies that tell by Forwarded or X-Forwarded-… how clients reach them",
      default: "none",
    }),
  linkKeys: listed()
    .transform((entries) => entries.map(linkKey))
    .refine(
      (keys) =>
        keys.every((key) => key !== undefined) && new Set(keys.map((key) => key?.id)).size === keys.length,
      "must be id=secret, or several with commas between them: different ids of letters, digits, '.', '_' and '-', secrets of 32 bytes or more in base64",
    )
    .optional()
    .register(manual, {
      argument: "list",
      help: "keys of download links, id=secret, the secret in base64; the first one signs, each one verifies",
      default: "one that the store keeps",
      secret: true,
    }),
  transferStallSeconds: seconds(0.001, 86_400).prefault("60").register(manual, {
    argument: "seconds",
    help: "cut a download whose client takes nothing for so long",
  }),
  maxTransfers: integer(1, 1_000_000).prefault("1000").register(manual, {
    argument: "number",
    help: "downloads at a time; more are refused at once and told when to try again",
  }),
  offload: oneOf(offloads)
    .prefault("none")
    .register(manual, {
      argument: offloads.join("|"),
      help: "let nginx in front send the files, which then can't be cut when a session is canceled",
    }),
  offloadPrefix: z
    .string()
    .regex(/^\/([\w.~-]+\/)+$/, "must be a path that starts and ends with '/'")
    .prefault("/_content/")
    .register(manual, { argument: "path", help: "nginx's internal location over the content root" }),
};

type Given = z.output<z.ZodObject<typeof downloadsFields>>;

export function downloadsConfig(given: Given): DownloadsConfig {
  return Object.freeze({
    publicUrl: given.publicUrl,
    linkKeys: Object.freeze((given.linkKeys ?? []).filter((key) => key !== undefined)),
    trustedProxies: Object.freeze(given.trustedProxies ?? []),
    stallMs: given.transferStallSeconds,
    maxTransfers: given.maxTransfers,
    offloadPrefix: given.offload === "none" ? undefined : given.offloadPrefix,
  });
}

function isBaseUrl(text: string): boolean {
  return isHttpUrl(text) && !/[?#]/.test(text);
}

function isAddressRange(text: string): boolean {
  const [address = "", prefix, ...more] = text.split("/");
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 6 ? 128 : 32));
}

const leastSecretBytes = 32;

function linkKey(entry: string): LinkKeyConfig | undefined {
  const [, id, text] = /^([\w.-]{1,64})=([\w+/-]+={0,2})$/.exec(entry) ?? [];
  if (id === undefined || text === undefined) return undefined;
  const bytes = Buffer.from(text, "base64");
  return bytes.byteLength < leastSecretBytes ? undefined : { id, secret: new SecretBytes(bytes) };
}
