/** What the commands that call a service are told. */
export interface ClientSetting {
  readonly name: "server" | "token" | "user" | "password" | "ca" | "cert" | "key";
  /** As on the command line, for example `--server <url>`; without one there is only the variable. */
  readonly usage?: string;
  /** Counts when the flag is not given; an empty one is unset. */
  readonly variable?: string;
  readonly help: string;
  readonly default?: string;
}

/** The one list of them: the command line, the service (which knows these variables as not its own) and the manual read it. */
export const clientSettings: readonly ClientSetting[] = [
  {
    name: "server",
    usage: "--server <url>",
    variable: "DOWNLEASE_SERVER",
    help: "the service to call",
    default: "http://127.0.0.1:8080",
  },
  {
    name: "token",
    usage: "--token <token>",
    variable: "DOWNLEASE_TOKEN",
    help: "bearer token that tells who is calling; others on this machine can see flags, not variables",
  },
  {
    name: "user",
    usage: "--user <name>",
    variable: "DOWNLEASE_USER",
    help: "log in with this name and a password",
  },
  {
    name: "password",
    variable: "DOWNLEASE_PASSWORD",
    help: "password of the user; when it is unset, the terminal is asked",
  },
  {
    name: "ca",
    usage: "--ca <path>",
    help: "PEM file of the authorities to trust, instead of the usual ones",
  },
  { name: "cert", usage: "--cert <path>", help: "PEM file of a client certificate to show" },
  { name: "key", usage: "--key <path>", help: "PEM file of the private key of the client certificate" },
];
