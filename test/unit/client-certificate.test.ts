import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { clientCertificateOf, firstAlternativeName } from "../../src/calls/client-certificate.ts";
import { Connection } from "../../src/calls/connection.ts";

test.each([
  ["DNS:a.example", "a.example"],
  ["email:a@b.example, DNS:a.example, URI:https://b", "a.example"],
  ["IP Address:127.0.0.1, URI:spiffe://a/b?c=d:e", "spiffe://a/b?c=d:e"],
  // As Node writes a name that contains what looks like another one (CVE-2021-44532).
  ['email:"x, DNS:evil.example", DNS:good.example', "good.example"],
  ['DNS:"good.example, DNS:evil.example"', "good.example, DNS:evil.example"],
  ['DirName:"CN=x\\", DNS:evil.example", URI:urn:a', "urn:a"],
  ["email:a@b.example", undefined],
  ["nonsense", undefined],
  ["", undefined],
])("the first name in %j is %j", (text, name) => {
  expect(firstAlternativeName(text)).toBe(name);
});

function socketWith(certificate: object, authorized = true, calls: string[] = []): Socket {
  const getPeerCertificate = () => {
    calls.push("read");
    return certificate;
  };
  return { authorized, getPeerCertificate } as unknown as Socket;
}

const valid_to = "Nov 25 10:00:00 2027 GMT";

test("a common name comes first, unless there are several", () => {
  const subjectaltname = "DNS:other";
  const nameOf = (subject: object) =>
    clientCertificateOf(socketWith({ subject, subjectaltname, valid_to }))?.name;
  expect(nameOf({ CN: "alice" })).toBe("alice");
  expect(nameOf({ CN: ["alice", "bob"] })).toBe("other");
  expect(nameOf({ O: "Example" })).toBe("other");
});

test("a certificate is read once for a connection, and only when asked for", () => {
  const calls: string[] = [];
  const connection = new Connection("peer", socketWith({ subject: { CN: "alice" }, valid_to }, false, calls));
  expect(calls).toEqual([]);
  const certificate = { isTrusted: false, name: "alice", validUntil: Date.UTC(2027, 10, 25, 10) };
  expect(connection.certificate).toEqual(certificate);
  expect(connection.certificate).toEqual(certificate);
  expect(calls).toEqual(["read"]);
});

test.each([
  ["in clear text", {} as Socket],
  ["without a certificate", socketWith({})],
  [
    "that is gone",
    {
      getPeerCertificate() {
        throw new Error("the session is destroyed");
      },
    } as unknown as Socket,
  ],
])("a connection %s shows none", (_, socket) => {
  expect(new Connection("peer", socket).certificate).toBeUndefined();
});
