import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { KeepAliveRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { type Door, type Outcome, progress, randomOf } from "./door.ts";
import { Http1Connection } from "./http1-connection.ts";

/** The documented path, as VMware's clients call it. */
export const rest = http1Door("rest", (id) =>
  post(
    `/rest/com/vmware/content/library/item/download-session/id:${id}?~action=keep-alive`,
    "application/json",
    JSON.stringify({ progress }),
  ),
);

const connectPath = "/content.library.item.v1.DownloadSessionService/KeepAlive";

export const connectJson = http1Door("connect-json", (id) =>
  post(connectPath, "application/json", toJsonString(KeepAliveRequestSchema, keepAliveRequest(id))),
);

export const connectProto = http1Door("connect-proto", (id) =>
  post(connectPath, "application/proto", toBinary(KeepAliveRequestSchema, keepAliveRequest(id))),
);

/** A connection for each caller. */
function http1Door(name: string, requestFor: (sessionId: string) => Buffer): Door {
  return {
    name,
    heartbeats: 1,
    async open({ port, sessionIds, callers }) {
      const requests = sessionIds.map(requestFor);
      const connections = await Promise.all(
        Array.from({ length: callers }, () => Http1Connection.open(port)),
      );
      return {
        beats: connections.map(
          (connection) => () => connection.exchange(randomOf(requests)).then(outcomeOfStatus),
        ),
        close: () => connections.forEach((connection) => void connection.close()),
      };
    },
  };
}

function post(path: string, contentType: string, content: string | Uint8Array): Buffer {
  const body = Buffer.from(content);
  const head =
    `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n` +
    `content-type: ${contentType}\r\ncontent-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

function keepAliveRequest(downloadSessionId: string) {
  return create(KeepAliveRequestSchema, { downloadSessionId, progress: BigInt(progress) });
}

function outcomeOfStatus(status: number): Outcome {
  if (status === 200) return "accepted";
  return status === 503 ? "unavailable" : "failed";
}
