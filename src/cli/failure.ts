import { Code, ConnectError } from "@connectrpc/connect";
import { DownloadError, type DownloadFailure } from "../client/download-error.ts";
import { ForeignAnswer, proxyPasswordHint } from "../client/foreign-answer.ts";
import { printable, visible } from "../client/printable.ts";
import type { ExitName } from "./exit-codes.ts";
import { fileProblem } from "./file-problem.ts";
import { systemError } from "./system-error.ts";

/** A failure of a command that is no bug. The message is for its user and says what to do. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exit: ExitName;

  constructor(exit: ExitName, message: string) {
    super(message);
    this.exit = exit;
  }
}

const exitsOfDownloads: Record<DownloadFailure, ExitName> = {
  not_found: "not_found",
  ambiguous: "usage",
  changed: "corrupt",
  checksum: "corrupt",
  unavailable_file: "corrupt",
  lease_lost: "lease_lost",
  disk: "disk",
  unreachable: "unreachable",
  refused: "refused",
  aborted: "interrupted",
  busy: "busy",
};

/** Failures after which the same command may succeed. */
const resumable: readonly DownloadFailure[] = ["lease_lost", "disk", "unreachable"];

const exitsOfCodes: Partial<Record<Code, ExitName>> = {
  [Code.NotFound]: "not_found",
  [Code.Unauthenticated]: "refused",
  [Code.PermissionDenied]: "refused",
  [Code.FailedPrecondition]: "lease_lost",
  [Code.InvalidArgument]: "usage",
  [Code.Unimplemented]: "usage",
  [Code.Unavailable]: "unreachable",
  [Code.DeadlineExceeded]: "unreachable",
  [Code.ResourceExhausted]: "unreachable",
};

const advice: Partial<Record<Code, string>> = {
  [Code.Unauthenticated]: "Log in with downlease login, or pass credentials with --token, --user or --cert.",
  [Code.Unimplemented]: "Is this a downlease server, and is it recent enough?",
};

export const resumeHint = "Run the same command again to resume.";

/** Turns a failure into a message and an exit code; undefined for a bug. */
export function explain(error: unknown, server: string): CliError | undefined {
  if (error instanceof CliError) return error;
  if (error instanceof DownloadError) return explainDownload(error);
  if (error instanceof ConnectError) return explainCall(error, server);
  const cause: unknown = systemError(error);
  if (isConnectionFailure(cause)) return unreachable(cause, server);
  if (isFileFailure(cause)) return new CliError("disk", `${visible(cause.path!)}: ${fileProblem(cause)}`);
  return undefined;
}

/** Whether a call may succeed if it is repeated: the server was unreachable or too busy. */
export function isPassing(error: unknown): boolean {
  return explain(error, "")?.exit === "unreachable";
}

/** Errors of a directory that can't be one: the same command fails again. */
const wrongPlaces = ["EEXIST", "ENOTDIR"];

function explainDownload({ reason, message, cause }: DownloadError): CliError {
  const help = cause instanceof ConnectError ? advice[cause.code] : undefined;
  const isWrongPlace = wrongPlaces.includes(systemError(cause)?.code ?? "");
  const hint = resumable.includes(reason) && !isWrongPlace ? ` ${resumeHint}` : help ? ` ${help}` : "";
  return new CliError(exitsOfDownloads[reason], `${visible(message.replace(/\.$/, ""))}.${hint}`);
}

function explainCall(error: ConnectError, server: string): CliError {
  const cause = systemError(error.cause);
  if (isConnectionFailure(cause)) return unreachable(cause, server);
  if (error.cause instanceof ForeignAnswer) return explainForeign(error, error.cause);
  const { code } = error;
  if (code === Code.DeadlineExceeded) {
    return new CliError("unreachable", `${visible(server)} does not answer in time. Try again.`);
  }
  const message = [printable(error.rawMessage || Code[code]!), advice[code]].filter(Boolean).join(" ");
  return new CliError(exitsOfCodes[code] ?? "failed", message);
}

/** An answer that is not one of the service. */
function explainForeign({ code, rawMessage }: ConnectError, { status, isWrongUrl }: ForeignAnswer): CliError {
  const exit = isWrongUrl
    ? "usage"
    : status === proxyAuthentication
      ? "refused"
      : (exitsOfCodes[code] ?? "unreachable");
  const hint = code === Code.Unauthenticated ? `. ${advice[code]}` : "";
  return new CliError(exit, printable(rawMessage) + hint);
}

function unreachable(cause: NodeJS.ErrnoException, server: string): CliError {
  const proxy = proxyOf(cause, server);
  const place = proxy === undefined ? "" : `the proxy ${visible(proxy)}: `;
  const { code, message, statusCode } = cause as NodeJS.ErrnoException & { statusCode?: number };
  const failure = `can't reach ${visible(server)}: `;
  if (code === "ERR_PROXY_TUNNEL" && statusCode !== undefined) {
    return statusCode === proxyAuthentication
      ? new CliError("refused", `${failure}${proxyPasswordHint}`)
      : new CliError("unreachable", `${failure}the proxy answers with HTTP ${statusCode}.`);
  }
  return new CliError("unreachable", `${failure}${place}${visible(reasons[code!] ?? message)}`);
}

/** HTTP status of a proxy. */
const proxyAuthentication = 407;

/** The proxy that could not be reached, which the error names instead of the server. */
function proxyOf(cause: NodeJS.ErrnoException, server: string): string | undefined {
  const { hostname, address, port } = cause as { hostname?: string; address?: string; port?: number };
  if (!URL.canParse(server)) return undefined;
  const url = new URL(server);
  if (hostname !== undefined) return hostname === url.hostname ? undefined : hostname;
  const ownPort = Number(url.port || (url.protocol === "https:" ? 443 : 80));
  return port === undefined || port === ownPort ? undefined : `${address}:${port}`;
}

const reasons: Record<string, string> = {
  ECONNREFUSED: "connection refused. Is it running there?",
  ENOTFOUND: "the host does not exist.",
  EAI_AGAIN: "the name of the host can't be resolved.",
  ECONNRESET:
    "the connection was reset (does the server expect https instead of http, or http instead of https?).",
  EPIPE: "the connection was closed.",
  ETIMEDOUT: "no answer.",
  EHOSTUNREACH: "no route to the host.",
  ENETUNREACH: "no route to the network.",
  EPROTO: "the server does not speak TLS. Is its URL http instead of https?",
  ERR_SSL_WRONG_VERSION_NUMBER: "the server does not speak TLS. Is its URL http instead of https?",
  CERT_HAS_EXPIRED: "its certificate has expired.",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed. Name it with --ca to trust it.",
  SELF_SIGNED_CERT_IN_CHAIN:
    "its certificate is from an authority that is not trusted. Name the authority with --ca.",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "its certificate is from an authority that is not trusted. Name the authority with --ca.",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "its certificate is from an authority that is not trusted. Name the authority with --ca.",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host.",
};

function isConnectionFailure(cause: unknown): cause is NodeJS.ErrnoException {
  if (!(cause instanceof Error)) return false;
  const { code, syscall } = cause as NodeJS.ErrnoException;
  return (
    (code !== undefined && code in reasons) ||
    /^(connect|getaddrinfo)$/.test(syscall ?? "") ||
    /^ERR_(HTTP2|PROXY|SSL|TLS)_/.test(code ?? "")
  );
}

function isFileFailure(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && (cause as NodeJS.ErrnoException).path !== undefined;
}
