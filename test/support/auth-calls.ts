import { randomBytes, scryptSync } from "node:crypto";
import type { Call } from "../../src/calls/call.ts";
import type { ClientCertificate } from "../../src/calls/client-certificate.ts";

export interface Shown {
  readonly authorization?: string | undefined;
  readonly loginId?: string | undefined;
  readonly loginCookie?: string | undefined;
  readonly headers?: Call["headers"];
  readonly certificate?: ClientCertificate | undefined;
  readonly peer?: string;
  /** The header `X-Forwarded-For`. */
  readonly forwardedFor?: string;
}

/** A call with the credentials given. */
export function callWith(shown: Shown): Call {
  const { authorization, loginId, loginCookie, certificate, peer = "192.0.2.1", forwardedFor } = shown;
  return {
    protocol: "rest",
    requestId: "request",
    // The class has private members, and a certificate comes only from a socket.
    connection: { peer, load: 0, certificate } as Call["connection"],
    credentials: { authorization, loginId, loginCookie },
    headers: { ...(forwardedFor !== undefined && { "x-forwarded-for": forwardedFor }), ...shown.headers },
  };
}

export function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

/**
 * A hash as a users file has it, cheap enough for tests.
 *
 * @param ln binary logarithm of the cost; 12 takes some ten milliseconds
 */
export function cheapHash(password: string, ln = 4): string {
  const [salt, cost] = [randomBytes(16), { N: 2 ** ln, r: 8, p: 1 }];
  const [saltText, hash] = [salt, scryptSync(password, salt, 32, cost)].map((bytes) =>
    bytes.toString("base64").replace(/=+$/, ""),
  );
  return `$scrypt$ln=${ln},r=8,p=1$${saltText}$${hash}`;
}
