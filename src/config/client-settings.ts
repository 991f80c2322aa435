import { fileTwinOf } from "./secret-file.ts";

const secrets = ["token", "password"] as const;

/** The settings whose value a file may hold, named by the setting of this name with `File` behind it. */
export type ClientSecret = (typeof secrets)[number];

/** A setting of the commands that call a service. */
export interface ClientSetting {
  readonly name: "server" | "user" | "ca" | "cert" | "key" | ClientSecret | `${ClientSecret}File`;
  /** The flag as in the help, for example `--server <url>`; a setting without one has only a variable. */
  readonly usage?: string;
  /** Used if the flag is missing; an empty variable is unset. */
  readonly variable?: string;
  readonly help: string;
  readonly default?: string;
}

/** Names the users file for `downlease users`, as it does for the service. */
export const usersFileVariable = "DOWNLEASE_USERS_FILE";

/** Whether the terminal understands no control sequences. */
export function isDumbTerminal({ TERM }: Readonly<Record<string, string | undefined>>): boolean {
  return TERM === "dumb";
}

/** The headers that continue the trace of the program that has started this one, by the variables of OpenTelemetry. */
export function traceHeadersOf({
  TRACEPARENT,
  TRACESTATE,
}: Readonly<Record<string, string | undefined>>): Record<string, string> {
  // Without a parent there is no trace, and no other text may get into a header.
  if (TRACEPARENT === undefined || !/^[\da-f-]{55}$/.test(TRACEPARENT)) return {};
  const hasState = TRACESTATE !== undefined && /^[\x20-\x7e]{1,512}$/.test(TRACESTATE);
  return { traceparent: TRACEPARENT, ...(hasState && { tracestate: TRACESTATE }) };
}

/** A password has no flag: other users of a machine can read flags. */
export const passwordVariable = "DOWNLEASE_PASSWORD";

/** Called when neither the command line nor the list of servers names another one. */
export const defaultServer = "http://127.0.0.1:8080";

const own: readonly ClientSetting[] = [
  {
    name: "server",
    usage: "--server <server>",
    variable: "DOWNLEASE_SERVER",
    help: "the service to call: its URL, or its name in the list of servers (downlease servers)",
    default: defaultServer,
  },
  {
    name: "token",
    usage: "--token <token>",
    variable: "DOWNLEASE_TOKEN",
    help: "bearer token of the caller; other users of this machine can see flags, but not variables and files",
  },
  {
    name: "user",
    usage: "--user <name>",
    variable: "DOWNLEASE_USER",
    help: "log in with this name and a password",
  },
  {
    name: "password",
    variable: passwordVariable,
    help: "password of the user; if it is unset, the terminal asks for it",
  },
  {
    name: "ca",
    usage: "--ca <path>",
    help: "PEM file of the authorities to trust instead of the usual ones",
  },
  { name: "cert", usage: "--cert <path>", help: "PEM file of the client certificate to present" },
  { name: "key", usage: "--key <path>", help: "PEM file of the private key of the client certificate" },
];

/** The list that the command line, the service (which accepts these variables without using them) and the manual read. */
export const clientSettings: readonly ClientSetting[] = own.flatMap((setting) => {
  const { name, variable } = setting;
  return isSecret(name) ? [setting, fileTwinOf({ name, variable: variable! })] : [setting];
});

function isSecret(name: ClientSetting["name"]): name is ClientSecret {
  return secrets.includes(name as ClientSecret);
}
