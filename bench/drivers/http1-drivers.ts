import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { KeepAliveRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { type Driver, type Header, type Outcome, progress, randomOf } from "./driver.ts";
import { Http1Connection } from "./http1-connection.ts";

/** The documented path that VMware's clients call. */
export const rest = http1Driver("rest", (id, headers) =>
  post(
    `/rest/com/vmware/content/library/item/download-session/id:${id}?~action=keep-alive`,
    "application/json",
    JSON.stringify({ progress }),
    headers,
  ),
);

const connectPath = "/content.library.item.v1.DownloadSessionService/KeepAlive";

export const connectJson = http1Driver("connect-json", (id, headers) =>
  post(connectPath, "application/json", toJsonString(KeepAliveRequestSchema, keepAliveRequest(id)), headers),
);

export const connectProto = http1Driver("connect-proto", (id, headers) =>
  post(connectPath, "application/proto", toBinary(KeepAliveRequestSchema, keepAliveRequest(id)), headers),
);

/** A driver with one connection per caller. */
function http1Driver(
  name: string,
  requestFor: (sessionId: string, headers: readonly Header[]) => Buffer,
): Driver {
  return {
    name,
    heartbeats: 1,
    async open({ port, sessionIds, callers, headers = [] }) {
      const requests = sessionIds.map((id) => requestFor(id, headers));
      const connections = await Promise.all(
        Array.from({ length: callers }, () => Http1Connection.open(port)),
      );
      return {
        calls: connections.map(
          (connection) => () => connection.exchange(randomOf(requests)).then(outcomeOfStatus),
        ),
        close: () => connections.forEach((connection) => void connection.close()),
      };
    },
  };
}

function post(
  path: string,
  contentType: string,
  content: string | Uint8Array,
  headers: readonly Header[],
): Buffer {
  const body = Buffer.from(content);
  const lines = [
    ["host", "127.0.0.1"],
    ["content-type", contentType],
    ["content-length", body.length],
    ...headers,
  ].map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n`), body]);
}

function keepAliveRequest(downloadSessionId: string) {
  return create(KeepAliveRequestSchema, { downloadSessionId, progress: BigInt(progress) });
}

function outcomeOfStatus(status: number): Outcome {
  if (status === 200) return "accepted";
  return status === 503 ? "unavailable" : "failed";
}
