import { type Agent, type IncomingHttpHeaders, request } from "node:http";
import { connect, constants } from "node:http2";

export interface RpcAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export type Post = (
  body: string | Uint8Array,
  headers?: Readonly<Record<string, string>>,
  path?: string,
) => Promise<RpcAnswer>;

export const sessionService = "com.vmware.content.library.item.download_session";

/** An invocation as VMware's SDKs write it. */
export function invocation(operationId: string, input: object, others: object = {}) {
  return {
    jsonrpc: "2.0",
    method: "invoke",
    id: "1",
    params: {
      serviceId: sessionService,
      operationId,
      input: { STRUCTURE: { "operation-input": input } },
      ctx: { appCtx: { opId: crypto.randomUUID() }, securityCtx: {} },
    },
    ...others,
  };
}

/** `POST /api` over HTTP/1.1. Rejects when no answer arrives within 5 s. */
export function postOverHttp1(baseUrl: string, agent?: Agent): Post {
  return (body, headers = {}, path = "/api") =>
    new Promise((resolve, reject) => {
      const sent = request(
        baseUrl + path,
        {
          method: "POST",
          agent,
          timeout: 5000,
          headers: {
            "content-type": "application/json",
            "content-length": String(Buffer.byteLength(body)),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text: Buffer.concat(chunks).toString(),
            }),
          );
        },
      );
      sent.on("timeout", () => sent.destroy(new Error("no answer")));
      sent.on("error", reject);
      sent.end(body);
    });
}

/** `POST /api` over cleartext HTTP/2, with a connection for each request. */
export function postOverHttp2(baseUrl: string): Post {
  return (body, headers = {}, path = "/api") =>
    new Promise((resolve, reject) => {
      const session = connect(baseUrl);
      session.on("error", reject);
      const stream = session.request({
        [constants.HTTP2_HEADER_METHOD]: "POST",
        [constants.HTTP2_HEADER_PATH]: path,
        "content-type": "application/json",
        ...headers,
      });
      let answered: IncomingHttpHeaders & { ":status"?: number | undefined } = {};
      const chunks: Buffer[] = [];
      stream.setTimeout(5000, () => stream.destroy(new Error("no answer")));
      stream.on("response", (head) => {
        answered = head;
      });
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        session.close();
        resolve({
          status: answered[":status"] ?? 0,
          headers: answered,
          text: Buffer.concat(chunks).toString(),
        });
      });
      stream.end(body);
    });
}
