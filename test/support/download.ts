import { type IncomingHttpHeaders, request as request1 } from "node:http";
import { connect as connect2, type SecureClientSessionOptions, sensitiveHeaders } from "node:http2";
import { request as requestTls } from "node:https";
import type { Readable } from "node:stream";

/** A complete answer, as a client received it. */
export interface Downloaded {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The received part of the body. */
  readonly body: Buffer;
  /** Whether the body came to a proper end. */
  readonly isWhole: boolean;
  /** The code of the error that it ended with. */
  readonly error: string | undefined;
}

/** An answer whose body is still to be read. */
export interface Begun {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** Reads the rest. */
  finish(): Promise<Downloaded>;
  /** Closes the connection. */
  abort(): void;
}

export interface DownloadOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** PEM. */
  readonly ca?: Buffer | undefined;
  /** The client's own address, such as 127.0.0.2. */
  readonly localAddress?: string;
}

export type Version = "HTTP/1.1" | "HTTP/2";

/** Sends a request on a connection of its own; resolves when the headers of the answer are there. */
export function begin(version: Version, url: string, options: DownloadOptions = {}): Promise<Begun> {
  return version === "HTTP/1.1" ? begin1(url, options) : begin2(url, options);
}

export async function download(
  version: Version,
  url: string,
  options?: DownloadOptions,
): Promise<Downloaded> {
  return (await begin(version, url, options)).finish();
}

function begin1(
  url: string,
  { method = "GET", headers = {}, ca, localAddress }: DownloadOptions,
): Promise<Begun> {
  const send = url.startsWith("https:") ? requestTls : request1;
  return new Promise((resolve, reject) => {
    const connection = { agent: false, servername: "localhost", localAddress, ...(ca && { ca }) };
    const request = send(url, { method, headers, ...connection });
    request.once("error", reject);
    request.once("response", (response) => {
      request.off("error", reject).on("error", () => {});
      const ending = watch(response);
      const { statusCode: status = 0, headers: answered } = response;
      resolve({
        status,
        headers: answered,
        body: response,
        finish: () => ending.finish(status, answered, () => response.complete),
        abort: () => request.destroy(),
      });
    });
    request.end();
  });
}

function begin2(
  url: string,
  { method = "GET", headers = {}, ca, localAddress }: DownloadOptions,
): Promise<Begun> {
  const { origin, pathname, search } = new URL(url);
  const session = connect2(origin, {
    servername: "localhost",
    localAddress,
    ...(ca && { ca }),
  } as SecureClientSessionOptions);
  return new Promise((resolve, reject) => {
    session.once("error", reject);
    const stream = session.request({ ":method": method, ":path": pathname + search, ...headers }).end();
    stream.once("error", reject);
    let hasEnded = false;
    stream.once("end", () => {
      hasEnded = true;
    });
    stream.once("close", () => session.close());
    stream.once("response", ({ ":status": status = 0, ...answered }) => {
      stream.off("error", reject);
      const ending = watch(stream);
      session.off("error", reject).on("error", () => {});
      const isWhole = () => hasEnded && stream.rstCode === 0;
      // The mark of Node.js for headers that must not be compressed.
      delete (answered as Record<symbol, unknown>)[sensitiveHeaders];
      resolve({
        status,
        headers: answered,
        body: stream,
        finish: () => ending.finish(status, answered, isWhole),
        abort: () => session.destroy(),
      });
    });
  });
}

/** Records how a body ends, from now on. */
function watch(body: Readable) {
  let error: string | undefined;
  body.on("error", (reason: NodeJS.ErrnoException) => {
    error = reason.code ?? reason.message;
  });
  const closed = new Promise<void>((resolve) => body.once("close", () => resolve()));
  return {
    async finish(status: number, headers: IncomingHttpHeaders, isWhole: () => boolean): Promise<Downloaded> {
      const chunks: Buffer[] = [];
      body.on("data", (chunk: Buffer) => chunks.push(chunk)).resume();
      await closed;
      return {
        status,
        headers,
        body: Buffer.concat(chunks),
        isWhole: isWhole() && error === undefined,
        error,
      };
    },
  };
}
