import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";

/** The certificate that a client presented when it connected. */
export interface ClientCertificate {
  /** Whether an authority that the server trusts has issued it. */
  readonly isTrusted: boolean;
  /** The common name of the subject, else the first DNS name or URI among the alternative names. */
  readonly name: string | undefined;
  /** Milliseconds since the epoch. */
  readonly validUntil: number;
}

/** The client's certificate; undefined without TLS, or when the client presented none. */
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
    // The connection is closed, so nobody waits for a response.
    return undefined;
  }
}

/** Several common names are ambiguous; the alternative names decide then. */
function nameOf(commonName: string | string[] | undefined, alternativeNames: string): string | undefined {
  return typeof commonName === "string" ? commonName : firstAlternativeName(alternativeNames);
}

/**
 * The first DNS name or URI among the alternative names. Node gives them as one text, `DNS:a, URI:b`, in which a name
 * that could be read as several is a JSON string (https://nodejs.org/api/crypto.html#x509subjectaltname).
 */
export function firstAlternativeName(text: string): string | undefined {
  for (const [, type, value = ""] of text.matchAll(/([\w ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/gy)) {
    if (type === "DNS" || type === "URI") return value.startsWith('"') ? JSON.parse(value) : value;
  }
  return undefined;
}
