import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import type { HttpRequest, HttpResponse } from "../../src/calls/http.ts";

export interface RecordedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** Stands in for a replica behind a proxy, to see what the proxy passes on. */
export interface RecordingServer extends AsyncDisposable {
  /** `host:port` */
  readonly address: string;
  /** What has come so far, without the proxy's own checks. */
  readonly requests: readonly RecordedRequest[];
}

/** @param answer by default, an empty 200 */
export async function startRecordingServer(
  version: "HTTP/1.1" | "HTTP/2",
  answer: (request: HttpRequest, response: HttpResponse) => void = (_, response) => response.end(),
): Promise<RecordingServer> {
  const requests: RecordedRequest[] = [];
  const serve = (request: HttpRequest, response: HttpResponse) => {
    const { method = "", url = "", headers } = request;
    request.resume();
    if (url === "/healthz" || url === "/readyz") return void response.end();
    requests.push({ method, url, headers });
    answer(request, response);
  };
  const sessions = new Set<ServerHttp2Session>();
  const server: Server | Http2Server =
    version === "HTTP/1.1" ? createServer(serve) : createHttp2Server(serve);
  server.on("session", (session: ServerHttp2Session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
