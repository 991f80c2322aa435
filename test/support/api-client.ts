import { once } from "node:events";
import { connect } from "node:http2";
import { text } from "node:stream/consumers";
import { type ProtocolClient, Refused, seenSession, type WrittenSession } from "./protocol-client.ts";

interface ApiRequest {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
}

interface ApiResponse {
  readonly status: number;
  readonly text: string;
}
type Send = (url: string, request: ApiRequest) => Promise<ApiResponse>;

export const overHttp1: Send = async (url, { method, headers, body = null }) => {
  const response = await fetch(url, { method, headers, body });
  return { status: response.status, text: await response.text() };
};

export const overHttp2: Send = async (url, { method, headers, body }) => {
  const { origin, pathname, search } = new URL(url);
  const session = connect(origin);
  try {
    const stream = session.request({ ":method": method, ":path": pathname + search, ...headers });
    stream.end(body);
    const [{ ":status": status = 0 }] = await once(stream, "response");
    return { status, text: await text(stream) };
  } finally {
    session.close();
  }
};

/** `/api` as documented: ids in the path, the token as a header. */
export function apiClient(
  baseUrl: string,
  send: Send,
  credentials: Readonly<Record<string, string>> = {},
): ProtocolClient {
  const service = `${baseUrl}/api/content/library/item/download-session`;
  const of = (id: string, action = "") =>
    `${service}/${encodeURIComponent(id)}${action === "" ? "" : `?action=${action}`}`;

  /** @param expected status in vSphere's documentation */
  async function call(
    method: string,
    url: string,
    expected: number,
    members?: object,
    headers: Record<string, string> = {},
  ): Promise<unknown> {
    const body = members && JSON.stringify(members);
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const answer = await send(url, { method, headers: { ...credentials, ...headers, ...type }, body });
    if (answer.status < 400) {
      if (answer.status !== expected) throw new Error(`${answer.status} instead of ${expected}`);
      return answer.text === "" ? undefined : JSON.parse(answer.text);
    }
    const { error_type, messages } = JSON.parse(answer.text);
    const [{ id, default_message }] = messages;
    throw new Refused(String(answer.status), error_type, id, default_message);
  }

  return {
    create: async (itemId, token) => {
      const headers: Record<string, string> = token === undefined ? {} : { "Client-Token": token };
      return String(await call("POST", service, 201, { library_item_id: itemId }, headers));
    },
    get: async (id) => seenSession((await call("GET", of(id), 200)) as WrittenSession),
    list: async (itemId) => {
      const query = itemId === undefined ? "" : `?library_item_id=${encodeURIComponent(itemId)}`;
      return (await call("GET", service + query, 200)) as string[];
    },
    keepAlive: async (id, progress) =>
      void (await call("POST", of(id, "keep-alive"), 204, progress === undefined ? undefined : { progress })),
    cancel: async (id) => void (await call("POST", of(id, "cancel"), 204)),
    fail: async (id, message) =>
      void (await call("POST", of(id, "fail"), 204, { client_error_message: message })),
    delete: async (id) => void (await call("DELETE", of(id), 204)),
  };
}
