import type { DescMethod } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";

/**
 * The cause of a failed call whose answer does not come from the service, but from something else at its URL: a
 * redirect, a login page, another web server, a proxy.
 */
export class ForeignAnswer extends Error {
  override readonly name = "ForeignAnswer";
  /** HTTP status. */
  readonly status: number;

  constructor(status: number) {
    super(`HTTP ${status}`);
    this.status = status;
  }

  /** Whether the URL seems to be wrong, rather than that the server is unavailable or asks for credentials. */
  get isWrongUrl(): boolean {
    const { status } = this;
    return ![401, 403, 407, 408, 429].includes(status) && (status < 500 || status === 501);
  }
}

/**
 * Explains an error in which Connect reports such an answer; undefined for any other error. The code stays, so that
 * calls are repeated as before.
 *
 * @param url the base of the service
 */
export function explainForeign(
  error: unknown,
  url: string,
  { parent, name }: DescMethod,
): ConnectError | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  const { rawMessage, metadata, code } = error;
  const type = /^unsupported content type (.*)$/.exec(rawMessage)?.[1];
  const status = type === undefined ? Number(/^HTTP (\d{3})$/.exec(rawMessage)?.[1] ?? 0) : 200;
  if (status === 0) return undefined;
  const text =
    type === undefined
      ? describe(status, { url, location: metadata.get("location"), path: `/${parent.typeName}/${name}` })
      : `${url} answers with ${type === "null" ? "an unknown type" : type.split(";")[0]} instead of data. Is this a login page, or another web server?`;
  return new ConnectError(text, code, metadata, undefined, new ForeignAnswer(status));
}

export const proxyPasswordHint =
  "the proxy requires a user and a password. Set them as in HTTP_PROXY=http://user:password@proxy.example:3128";

interface Answer {
  readonly url: string;
  readonly location: string | null;
  /** Of the call, below the URL. */
  readonly path: string;
}

function describe(status: number, answer: Answer): string {
  const { url } = answer;
  if (status >= 300 && status < 400) return describeRedirect(status, answer);
  if (status === 400 && url.startsWith("http:")) {
    return `${url} answers with HTTP 400. Does it expect https:// instead of http://?`;
  }
  if (status === 404) {
    return `${url} answers with HTTP 404. Is this a downlease server, and is it recent enough?`;
  }
  if (status === 407) return proxyPasswordHint;
  const plain = `${url} answers with HTTP ${status}`;
  return new ForeignAnswer(status).isWrongUrl ? `${plain}. Is this a downlease server?` : plain;
}

function describeRedirect(status: number, { url, location, path }: Answer): string {
  if (location === null || !URL.canParse(location, url + path))
    return `${url} redirects to nowhere (${status})`;
  const target = new URL(location, url + path);
  // A query may have secrets.
  const place = target.origin + target.pathname;
  return place.endsWith(path)
    ? `${url} redirects to ${place.slice(0, -path.length)}. Use that URL`
    : `${url} redirects to ${place}. Is this a login page, or another web server?`;
}
