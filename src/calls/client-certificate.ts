import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** A certificate that a client has shown when it connected. */
export interface ClientCertificate {
  /** Whether one of the authorities that the server trusts has issued it. */
  readonly isTrusted: boolean;
  /** Who it is about: the common name of its subject, else the first DNS name or URI of its alternative names. */
  readonly name: string | undefined;
  /** Milliseconds since the epoch. */
  readonly validUntil: number;
}

/** The certificate of the client at the other end; undefined when there is none, TLS or certificate. */
export function clientCertificateOf(
  socket: Socket & Partial<Pick<TLSSocket, "authorized" | "getPeerCertificate">>,
): ClientCertificate | undefined {
  try {
    const certificate = socket.getPeerCertificate?.();
    if (certificate === undefined || Object.keys(certificate).length === 0) return undefined;
    const { subject, subjectaltname = "", valid_to } = certificate;
    return {
      isTrusted: socket.authorized === true,
      name: nameOf(subject?.CN, subjectaltname),
      validUntil: Date.parse(valid_to),
    };
  } catch {
    // The connection is gone, and with it whoever might get an answer.
    return undefined;
  }
}

/** Several common names say nothing certain: then the alternative names have to. */
function nameOf(commonName: string | string[] | undefined, alternativeNames: string): string | undefined {
  return typeof commonName === "string" ? commonName : firstAlternativeName(alternativeNames);
}

/**
 * Node tells alternative names in one text, `DNS:a, URI:b`, and writes as a JSON string whatever could be mistaken for
 * several of them (https://nodejs.org/api/crypto.html#x509subjectaltname).
 */
export function firstAlternativeName(text: string): string | undefined {
  for (const [, type, value = ""] of text.matchAll(/([\w ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy)) {
    if (type === "DNS" || type === "URI") return value.startsWith('"') ? JSON.parse(value) : value;
  }
  return undefined;
}
