import type { Socket } from "node:net";
import type { HttpVersion } from "../calls/http.ts";

/** The first bytes of HTTP/2 without ALPN (RFC 9113, section 3.4); no method of HTTP/1 begins with them. */
const preface = Buffer.from("PRI");

/**
 * Detects the HTTP version of a client: by ALPN, else by its first bytes, which stay in the socket. Calls back at most
 * once. A client that sends too few bytes for `timeoutMs` is cut.
 */
export function detectHttpVersion(
  socket: Socket & { readonly alpnProtocol?: string | false | null },
  timeoutMs: number,
  onDetected: (version: HttpVersion) => void,
): void {
  if (socket.alpnProtocol === "h2") {
    onDetected("h2");
    return;
  }
  let seen: Buffer = Buffer.alloc(0);
  const look = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const isPreface = seen.subarray(0, preface.length).equals(preface.subarray(0, seen.length));
    if (isPreface && seen.length < preface.length) return;
    socket.off("readable", look).off("end", giveUp).off("timeout", giveUp).setTimeout(0);
    socket.unshift(seen);
    onDetected(isPreface ? "h2" : "http1");
  };
  const giveUp = () => socket.destroy();
  socket.on("readable", look).on("end", giveUp).on("timeout", giveUp).setTimeout(timeoutMs);
}
