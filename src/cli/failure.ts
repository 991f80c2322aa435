import { Code, ConnectError } from "@connectrpc/connect";
import { DownloadError, type DownloadFailure } from "../client/download-error.ts";
import type { ExitName } from "./exit-codes.ts";
import { visible } from "./text.ts";

/** A command could not do what it was asked for; the message is for its user and says what to do. */
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

/** After these the same command may go well. */
const resumable: readonly DownloadFailure[] = ["lease_lost", "disk", "unreachable"];

const exitsOfCodes: Partial<Record<Code, ExitName>> = {
  [Code.NotFound]: "not_found",
  [Code.Unauthenticated]: "refused",
  [Code.PermissionDenied]: "refused",
  [Code.FailedPrecondition]: "lease_lost",
  [Code.InvalidArgument]: "usage",
  [Code.Unavailable]: "unreachable",
  [Code.DeadlineExceeded]: "unreachable",
  [Code.ResourceExhausted]: "unreachable",
};

const advice: Partial<Record<Code, string>> = {
  [Code.Unauthenticated]: "Say who you are with --token, --user or --cert.",
  [Code.Unimplemented]: "Is this a downlease server, and new enough?",
};

/** What to tell of a failure that is no bug; undefined for a bug. */
export function explain(error: unknown, server: string): CliError | undefined {
  if (error instanceof CliError) return error;
  if (error instanceof DownloadError) return explainDownload(error);
  if (error instanceof ConnectError) return explainCall(error, server);
  const cause = causeOf(error);
  if (isConnectionFailure(cause)) return unreachable(cause, server);
  if (isFileFailure(cause)) return new CliError("disk", visible(cause.message));
  return undefined;
}

/** Whether the call may go well when it is repeated: the server could not be reached, or had no time. */
export function isPassing(error: unknown): boolean {
  const explained = explain(error, "");
  return explained?.exit === "unreachable";
}

function explainDownload({ reason, message }: DownloadError): CliError {
  const hint = resumable.includes(reason) ? " The same command goes on from what is there." : "";
  return new CliError(exitsOfDownloads[reason], `${visible(message.replace(/\.$/, ""))}.${hint}`);
}

function explainCall(error: ConnectError, server: string): CliError {
  const cause = causeOf(error.cause);
  if (isConnectionFailure(cause)) return unreachable(cause, server);
  const { code } = error;
  if (code === Code.DeadlineExceeded) {
    return new CliError("unreachable", `${visible(server)} does not answer in time. Try again.`);
  }
  const message = [visible(error.rawMessage || Code[code]!), advice[code]].filter(Boolean).join(" ");
  return new CliError(exitsOfCodes[code] ?? "failed", message);
}

function unreachable({ code, message }: NodeJS.ErrnoException, server: string): CliError {
  return new CliError("unreachable", `can't reach ${visible(server)}: ${visible(reasons[code!] ?? message)}`);
}

const reasons: Record<string, string> = {
  ECONNREFUSED: "connection refused. Is the service running there?",
  ENOTFOUND: "there is no such host.",
  EAI_AGAIN: "the name of the host can't be looked up.",
  ECONNRESET: "the connection was reset. Is it http where https is spoken, or the other way round?",
  EPIPE: "the connection was closed.",
  ETIMEDOUT: "no answer.",
  EHOSTUNREACH: "no route to the host.",
  ENETUNREACH: "no route to the network.",
  EPROTO: "no TLS is spoken there. Is it http where https is asked for?",
  ERR_SSL_WRONG_VERSION_NUMBER: "no TLS is spoken there. Is it http where https is asked for?",
  CERT_HAS_EXPIRED: "its certificate has expired.",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by itself. Name the authority with --ca.",
  SELF_SIGNED_CERT_IN_CHAIN:
    "its certificate is from an authority that is not trusted here. Name it with --ca.",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    "its certificate is from an authority that is not trusted here. Name it with --ca.",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "its certificate is from an authority that is not trusted here. Name it with --ca.",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host.",
};

/** The innermost error that the system or Node.js has a code for. */
function causeOf(error: unknown): unknown {
  let found: unknown;
  for (let each = error; each instanceof Error; each = each.cause) {
    if (typeof (each as NodeJS.ErrnoException).code === "string") found = each;
  }
  return found;
}

function isConnectionFailure(cause: unknown): cause is NodeJS.ErrnoException {
  if (!(cause instanceof Error)) return false;
  const { code, syscall } = cause as NodeJS.ErrnoException;
  return (
    (code !== undefined && code in reasons) ||
    /^(connect|getaddrinfo)$/.test(syscall ?? "") ||
    /^ERR_(HTTP2|SSL|TLS)_/.test(code ?? "")
  );
}

function isFileFailure(cause: unknown): cause is NodeJS.ErrnoException {
  return cause instanceof Error && (cause as NodeJS.ErrnoException).path !== undefined;
}
