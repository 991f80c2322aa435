import { get as getInClear, type IncomingMessage } from "node:http";
import { get as getOverTls } from "node:https";
import { OwnUrlError, ownUrl } from "../../config/own-url.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Io } from "../io.ts";

export interface HealthFlags {
  readonly url?: string;
  readonly host?: string;
  readonly port?: string;
  /** Path of the configuration file. */
  readonly config?: string;
  /** Seconds. */
  readonly timeout: number;
}

/**
 * Asks a service on this machine whether it is ready, and prints the answer in one line. It loads as little as
 * possible, because container runtimes run it every few seconds.
 *
 * @returns 0 when it is ready, 1 when it is not, 2 when its URL is unknown
 */
export async function printHealth({ timeout, ...flags }: HealthFlags, io: Io): Promise<number> {
  let url: URL;
  try {
    url = await readinessUrl(flags, io);
  } catch (error) {
    if (!(error instanceof OwnUrlError)) throw error;
    io.stderr.write(`downlease: ${error.message}\n`);
    return exitCodes.usage.code;
  }
  const problem = await problemOf(url, timeout);
  if (problem === undefined) {
    io.stdout.write("ready\n");
    return exitCodes.ok.code;
  }
  io.stderr.write(`downlease: not ready: ${url.origin} ${problem}\n`);
  return exitCodes.failed.code;
}

/** @throws OwnUrlError */
async function readinessUrl(
  { url, ...flags }: Omit<HealthFlags, "timeout">,
  { environment }: Io,
): Promise<URL> {
  const base = URL.parse(url ?? (await ownUrl({ flags, environment })));
  if (base === null || !/^https?:$/.test(base.protocol))
    throw new OwnUrlError("the URL must be that of a service, such as https://127.0.0.1:8443");
  return new URL("/readyz", base);
}

/** What keeps the service from being ready; undefined when it is. */
async function problemOf(url: URL, timeout: number): Promise<string | undefined> {
  const signal = AbortSignal.timeout(timeout * 1000);
  try {
    const { statusCode } = await responseOf(url, signal);
    if (statusCode === 200) return undefined;
    return statusCode === 503 ? "can't store sessions now, or is stopping" : `answers ${statusCode}`;
  } catch (error) {
    if (signal.aborted) return `does not answer within ${timeout} s`;
    return `is unreachable (${(error as NodeJS.ErrnoException).code ?? "no answer in HTTP"})`;
  }
}

/**
 * The headers of the answer. The certificate is not verified: it is for the names that clients use, and a service that
 * asks itself has no secret to lose.
 */
function responseOf(url: URL, signal: AbortSignal): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = { agent: false, signal, headers: { connection: "close" } } as const;
  const answered = (response: IncomingMessage) => resolve(response.resume());
  const request =
    url.protocol === "https:"
      ? getOverTls(url, { ...options, rejectUnauthorized: false }, answered)
      : getInClear(url, options, answered);
  request.on("error", reject);
  return promise;
}
