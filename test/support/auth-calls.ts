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
}

/** A call with the credentials given. */
export function callWith(shown: Shown): Call {
  const { authorization, loginId, loginCookie, certificate, headers = {}, peer = "192.0.2.1" } = shown;
  return {
    protocol: "rest",
    requestId: "request",
    // The class has private members, and a certificate comes only from a socket.
    connection: { peer, load: 0, certificate } as Call["connection"],
    credentials: { authorization, loginId, loginCookie },
    headers,
  };
}

export function basic(name: string, password: string): string {
  return `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
}

/** A hash as a users file has it, cheap enough for tests. */
export function cheapHash(password: string): string {
  const [salt, cost] = [randomBytes(16), { N: 2 ** 4, r: 8, p: 1 }];
  const [saltText, hash] = [salt, scryptSync(password, salt, 32, cost)].map((bytes) =>
    bytes.toString("base64").replace(/=+$/, ""),
  );
  return `$scrypt$ln=4,r=8,p=1$${saltText}$${hash}`;
}
