import type { Socket } from "node:net";

export type HttpVersion = "http1" | "h2";

/** How HTTP/2 without ALPN starts (RFC 9113, section 3.4); no method of HTTP/1 does. */
const preface = Buffer.from("PRI");

/**
 * Calls back, at most once, when it is clear which protocol the client speaks: by ALPN, else by its first bytes,
 * which stay in the socket. A client that sends too few of them for `timeoutMs` is cut off.
 */
export function detectHttpVersion(
  socket: Socket & { readonly alpnProtocol?: string | false | null },
  timeoutMs: number,
  found: (protocol: HttpVersion) => void,
): void {
  if (socket.alpnProtocol === "h2") {
    found("h2");
    return;
  }
  let seen: Buffer = Buffer.alloc(0);
  const look = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const isPreface = seen.subarray(0, preface.length).equals(preface.subarray(0, seen.length));
    if (isPreface && seen.length < preface.length) return;
    socket.off("readable", look).off("timeout", giveUp).setTimeout(0);
    socket.unshift(seen);
    found(isPreface ? "h2" : "http1");
  };
  const giveUp = () => socket.destroy();
  socket.on("readable", look).on("timeout", giveUp).setTimeout(timeoutMs);
}
