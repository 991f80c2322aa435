import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { ServerHttp2Stream, ServerStreamResponseOptions } from "node:http2";
import type { ConnectError } from "@connectrpc/connect";
import { codeToHttpStatus, errorToJsonBytes } from "@connectrpc/connect/protocol-connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { Call } from "../../src/calls/call.ts";
import { ServiceError } from "../../src/domain/errors.ts";

/** Names and values of headers; a name may occur several times. */
export type Metadata = readonly (readonly [string, string])[];

/** What a method of a test suite may ask for, and no operation of the service does. */
export interface Answer {
  readonly headers: Metadata;
  readonly trailers: Metadata;
  readonly error?: ConnectError | undefined;
}

/**
 * Lets the answer of a call on the fast lane carry metadata, or an error that is not in the table of errors: changes the
 * heads that the fast lane sends, and the body of a Connect error. Frames, order and end stay the fast lane's own.
 *
 * @param response of a call over HTTP/1
 * @throws ServiceError in place of the error
 */
export function decorate(call: Call, response: ServerResponse | undefined, answer: Answer): void {
  const stream = streamOf(call);
  if (call.protocol === "grpc" && stream !== undefined) decorateGrpc(stream, answer);
  else decorateConnect(stream, response, answer);
  if (answer.error !== undefined) throw new ServiceError("downlease.server.internal", [call.requestId]);
}

function streamOf(call: Call): ServerHttp2Stream | undefined {
  return (call as { stream?: ServerHttp2Stream }).stream;
}

function decorateGrpc(stream: ServerHttp2Stream, { headers, trailers, error }: Answer): void {
  const { respond, sendTrailers } = stream;
  const status = new Headers();
  if (error !== undefined) setTrailerStatus(status, error);
  stream.respond = ((head: string[], options: ServerStreamResponseOptions) => {
    const own = pairsOf(head).filter(([name]) => error === undefined || !name.startsWith("grpc-"));
    const fields = [...own, ...status, ...headers];
    if (options.endStream === true) fields.push(...trailers);
    respond.call(stream, fields.flat() as never, options);
  }) as never;
  stream.sendTrailers = (own) => sendTrailers.call(stream, { ...own, ...grouped(trailers) });
}

function decorateConnect(
  stream: ServerHttp2Stream | undefined,
  response: ServerResponse | undefined,
  { headers, trailers, error }: Answer,
): void {
  const body = error && errorToJsonBytes(error, undefined);
  const status = error && String(codeToHttpStatus(error.code));
  const added = [...headers, ...trailers.map(([name, value]) => [`trailer-${name}`, value])];
  const decorated = (head: readonly string[]) => {
    const own = pairsOf(head).map(([name, value]) => {
      if (body !== undefined && name === "content-length") return [name, String(body.byteLength)];
      return name === ":status" ? [name, status ?? value] : [name, value];
    });
    return [...own, ...added].flat();
  };
  if (stream !== undefined) {
    const { respond, end } = stream;
    stream.respond = ((head: string[]) => respond.call(stream, decorated(head) as never)) as never;
    stream.end = ((own: Uint8Array) => end.call(stream, body ?? own, "utf8")) as never;
  } else if (response !== undefined) {
    const { writeHead, end } = response;
    response.writeHead = ((code: number, head: string[]) =>
      writeHead.call(response, Number(status ?? code), decorated(head))) as never;
    response.end = ((own: Uint8Array) => end.call(response, body ?? own, "utf8")) as never;
  }
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1]!] as [string, string]] : []));
}

function grouped(metadata: Metadata): Record<string, string[]> {
  const byName = Map.groupBy(metadata, ([name]) => name.toLowerCase());
  return Object.fromEntries([...byName].map(([name, pairs]) => [name, pairs.map(([, value]) => value)]));
}

/** Request headers, without the pseudo-headers of HTTP/2. */
export function headersOf(headers: IncomingHttpHeaders): [string, string[]][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith(":") || value === undefined ? [] : [[name, [value].flat()] as [string, string[]]],
  );
}
