import { once } from "node:events";
import { createServer, request } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificate } from "./certificates.ts";

/** A server that a test closes. */
export interface TestServer extends AsyncDisposable {
  readonly port: number;
}

/** A proxy between companies and the rest: it reaches every host at 127.0.0.1. */
export interface HttpProxy extends TestServer {
  /** Method and target of each request, in order. */
  readonly requests: string[];
  /** The status that it refuses requests with; undefined to serve them. */
  refusal: number | undefined;
}

export async function startProxy(): Promise<HttpProxy> {
  const proxy = createServer((incoming, outgoing) => {
    requests.push(`${incoming.method} ${incoming.url}`);
    if (state.refusal !== undefined) return void outgoing.writeHead(state.refusal).end("no");
    const { port, pathname, search } = new URL(incoming.url!);
    const target = { host: "127.0.0.1", port, path: pathname + search };
    const forwarded = request({ ...target, method: incoming.method, headers: incoming.headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  const requests: string[] = [];
  const state: { refusal: number | undefined } = { refusal: undefined };
  proxy.on("connect", ({ url }, socket) => {
    requests.push(`CONNECT ${url}`);
    socket.on("error", () => {});
    if (state.refusal !== undefined) return void socket.end(`HTTP/1.1 ${state.refusal} No\r\n\r\n`);
    const tunnel = connect(Number(url!.split(":").at(-1)), "127.0.0.1");
    tunnel.on("error", () => socket.destroy()).on("close", () => socket.destroy());
    socket.on("close", () => tunnel.destroy());
    tunnel.once("connect", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      socket.pipe(tunnel).pipe(socket);
    });
  });
  const { port } = await listen(proxy);
  return Object.assign(state, {
    port,
    requests,
    async [Symbol.asyncDispose]() {
      proxy.close();
      proxy.closeAllConnections();
    },
  });
}

/** Ends TLS in front of a server at 127.0.0.1. */
export async function startTlsFront({ cert, key }: Certificate, port: number): Promise<TestServer> {
  const front = createTlsServer({ cert, key }, (socket) => {
    const behind = connect(port, "127.0.0.1");
    socket.on("error", () => {}).on("close", () => behind.destroy());
    behind.on("error", () => {}).on("close", () => socket.destroy());
    socket.pipe(behind).pipe(socket);
  });
  front.on("tlsClientError", () => {});
  return { ...(await listen(front)), [Symbol.asyncDispose]: async () => void front.close() };
}

async function listen(server: {
  listen(port: number, host: string): unknown;
  address(): unknown;
}): Promise<{ port: number }> {
  server.listen(0, "127.0.0.1");
  await once(server as never, "listening");
  return { port: (server.address() as AddressInfo).port };
}
