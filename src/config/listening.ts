import { isIP, isIPv6 } from "node:net";
import { z } from "zod";
import { filePath, integer, manual, onOff, optionalListOf, type Rule } from "./fields.ts";

/** The address of the service. */
export const addressFields = {
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
    .register(manual, { argument: "number", help: "number of processes that serve, all on the same port" }),
};

/** Where the admin address is. */
export interface AdminAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Nobody chose it, so that the service starts without it when it is in use. */
  readonly isDefault: boolean;
}

const defaultAdminAddress = "127.0.0.1:9480";

/** Undefined for `off`. */
export const adminFields = {
  adminListen: z
    .string()
    .refine(
      (text) => text === "off" || hostAndPort(text) !== undefined,
      `must be off, or an address or host name with a port, such as ${defaultAdminAddress} or [::1]:9480`,
    )
    .optional()
    .transform((text): AdminAddress | undefined => {
      const { host, port } = hostAndPort(text ?? defaultAdminAddress) ?? {};
      return host === undefined || port === undefined
        ? undefined
        : { host, port, isDefault: text === undefined };
    })
    .register(manual, {
      argument: "address:port|off",
      help: "where /metrics is served, in clear text and without login; port 0 picks a free one",
      default: defaultAdminAddress,
    }),
  console: onOff().prefault("on").register(manual, {
    argument: "on|off",
    help: "serve pages for browsers: /console, /docs (the API), and / with links to them; /openapi.json is served without them",
  }),
  allowedHosts: optionalListOf(
    isHostPattern,
    "must be host names without ports such as dl.example or *.dl.example, with commas between them, or *",
  ).register(manual, {
    argument: "list",
    help: "further host names that requests may name while nobody has to log in; *.dl.example: all below it, *: any",
    default: "none",
  }),
};

/** TLS, by paths of PEM files. */
export const tlsFields = {
  tls: z.object({
    cert: filePath().optional().register(manual, {
      argument: "path",
      help: "serve TLS with this PEM certificate chain",
      default: "unset",
    }),
    key: filePath()
      .optional()
      .register(manual, { argument: "path", help: "PEM private key of the certificate", default: "unset" }),
  }),
};

export const corsFields = {
  corsOrigins: optionalListOf(
    isOrigin,
    "must be origins such as https://portal.example, with commas between them and without paths or wildcards",
  ).register(manual, {
    argument: "list",
    help: "allow pages of these origins to call the service, for example https://portal.example,http://localhost:5173",
    default: "none",
  }),
};

const bothOrNone = "must be set: certificate and key belong together";

export const tlsRules: readonly Rule<typeof tlsFields>[] = [
  {
    about: ["tlsKey"],
    path: "tlsCert",
    message: bothOrNone,
    holds: ({ tls }) => tls.cert !== undefined || tls.key === undefined,
  },
  {
    about: ["tlsCert"],
    path: "tlsKey",
    message: bothOrNone,
    holds: ({ tls }) => tls.key !== undefined || tls.cert === undefined,
  },
];

/** Undefined: clear text. */
export function tlsOf({ cert, key }: z.output<typeof tlsFields.tls>) {
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

/** In the spelling of browsers, because it is compared as it is. */
function isOrigin(text: string): boolean {
  return /^https?:[^*]*$/.test(text) && URL.parse(text)?.origin === text;
}

function hostAndPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const [, bracketed, plain = "", digits = ""] = /^(?:\[(.*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const isValid = bracketed === undefined ? isHost(plain) : isIPv6(bracketed);
  const port = Number(digits);
  return isValid && digits !== "" && port <= 65_535 ? { host: bracketed ?? plain, port } : undefined;
}

/** A name, or `*.` and a name, or `*`. Addresses need not be listed. */
function isHostPattern(text: string): boolean {
  return text === "*" || isHost(text.replace(/^\*\./, ""));
}

function isHost(text: string): boolean {
  return isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(text);
}
