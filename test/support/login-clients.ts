import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { loginHeader } from "../../src/calls/credentials.ts";
import { decodeXml } from "../../src/protocols/vapi/codecs/xml.ts";
import { Refused } from "./protocol-clients.ts";

/** A login session in one form for every protocol; times in milliseconds since the epoch. */
export interface SeenLogin {
  readonly user: string;
  readonly createdAt: number;
  readonly lastUsedAt: number;
}

/** The operations on login sessions over one protocol; refusals reject with `Refused`. */
export interface LoginClient {
  /** @param headers besides the right credentials, or in place of them */
  create(headers?: Readonly<Record<string, string>>): Promise<string>;
  /** @param id undefined for a caller without a login session */
  get(id: string | undefined): Promise<SeenLogin>;
  delete(id: string | undefined): Promise<void>;
}

const basic = `Basic ${Buffer.from("alice:correct horse").toString("base64")}`;
const credentialsOf = (id: string | undefined): Record<string, string> =>
  id === undefined ? {} : { [loginHeader]: id };

export const loginClients: Record<string, (baseUrl: string) => LoginClient> = {
  gRPC: (baseUrl) => rpc(createGrpcTransport({ baseUrl })),
  "gRPC-Web": (baseUrl) => rpc(createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })),
  "Connect, protobuf": (baseUrl) => rpc(createConnectTransport({ baseUrl, httpVersion: "2" })),
  "Connect, JSON": (baseUrl) =>
    rpc(createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false })),
  "/rest, JSON": (baseUrl) => rest(`${baseUrl}/rest`, "json"),
  "/rest, XML": (baseUrl) => rest(`${baseUrl}/rest`, "xml"),
  "without a prefix, JSON": (baseUrl) => rest(baseUrl, "json"),
};

function rpc(transport: Transport): LoginClient {
  const client = createClient(SessionService, transport);
  const rethrowingRefusals = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (reason) {
      const error = ConnectError.from(reason);
      const [info] = error.findDetails(ErrorInfoSchema);
      throw new Refused(
        Code[error.code],
        info?.reason ?? "",
        info?.metadata.message_id ?? "",
        error.rawMessage,
      );
    }
  };
  return {
    async create(headers) {
      const call = client.create({}, { headers: { authorization: basic, ...headers } });
      return (await rethrowingRefusals(call)).sessionId;
    },
    async get(id) {
      const { info } = await rethrowingRefusals(client.get({}, { headers: credentialsOf(id) }));
      return {
        user: info!.user,
        createdAt: timestampMs(info!.createdTime!),
        lastUsedAt: timestampMs(info!.lastAccessedTime!),
      };
    },
    delete: async (id) => void (await rethrowingRefusals(client.delete({}, { headers: credentialsOf(id) }))),
  };
}

function rest(base: string, format: "json" | "xml"): LoginClient {
  const call = async (method: string, action: string, headers: Record<string, string>) => {
    const response = await fetch(`${base}/com/vmware/cis/session${action}`, {
      method,
      headers: { accept: `application/${format}`, ...headers },
    });
    const text = await response.text();
    const body = text === "" ? {} : read(text);
    if (response.ok) return body.value;
    const { error_type, messages } = body.value;
    throw new Refused(String(response.status), error_type, messages[0].id, messages[0].default_message);
  };
  // biome-ignore lint/suspicious/noExplicitAny: tests compare the value
  const read = (text: string): any => {
    if (format === "json") return JSON.parse(text);
    const name = /<ns0:([\w-]+)/.exec(text)?.[1] ?? "";
    const namespace = /xmlns:ns0="([^"]+)"/.exec(text)?.[1] ?? "";
    return decodeXml(Buffer.from(text), { name, namespace });
  };
  return {
    create: (headers) => call("POST", "", { authorization: basic, ...headers }),
    async get(id) {
      const { user, created_time, last_accessed_time } = await call(
        "POST",
        "?~action=get",
        credentialsOf(id),
      );
      return { user, createdAt: Date.parse(created_time), lastUsedAt: Date.parse(last_accessed_time) };
    },
    delete: (id) => call("DELETE", "", credentialsOf(id)),
  };
}
