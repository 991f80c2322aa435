import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { Certificate } from "./certificates.ts";

/** A server that answers each request over HTTP/1.1 with bytes of the test's choice. */
export interface ScriptedServer extends AsyncDisposable {
  readonly port: number;
  /** Ports of the clients' connections, one for each request. */
  readonly requests: number[];
  readonly sockets: ReadonlySet<Socket>;
  /** Writes the answer. */
  answer: (socket: Socket, request: string) => unknown;
}

export async function startScriptedServer(tls?: Certificate): Promise<ScriptedServer> {
  const sockets = new Set<Socket>();
  const onSocket = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay();
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (!text.endsWith("\r\n\r\n")) return;
      server.requests.push(socket.remotePort!);
      const request = text;
      text = "";
      server.answer(socket, request);
    });
  };
  const listener =
    tls === undefined ? createServer(onSocket) : createTlsServer({ cert: tls.cert, key: tls.key }, onSocket);
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const server: ScriptedServer = {
    port: (listener.address() as AddressInfo).port,
    requests: [],
    sockets,
    answer: (socket) => socket.end(),
    async [Symbol.asyncDispose]() {
      const closed = once(listener, "close");
      listener.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
  return server;
}
