import {
  createRegistry,
  type DescMessage,
  type DescMethodUnary,
  fromJson,
  getOption,
  type JsonObject,
  type JsonValue,
  toJson,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { ItemFileService } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { operation, service as serviceOption } from "../../gen/vapi/v1/options_pb.ts";
import { decodeXml } from "../../src/vapi/codecs/xml.ts";

export const lookUps = {
  "library.list": LibraryService.method.list,
  "library.get": LibraryService.method.get,
  "library.find": LibraryService.method.find,
  "item.list": ItemService.method.list,
  "item.get": ItemService.method.get,
  "item.find": ItemService.method.find,
  "file.list": ItemFileService.method.list,
  "file.get": ItemFileService.method.get,
} satisfies Record<string, DescMethodUnary>;

/**
 * Looks something up. Gives the result as vAPI names and nests it, with every leaf as text and without empty lists,
 * which XML and protobuf can't tell from none; or `STATUS message.id` of a refusal, with status `gRPC/HTTP`.
 */
export type LookUp = (what: keyof typeof lookUps, parameters: JsonObject) => Promise<JsonValue | undefined>;

export const lookUpDoors: Record<string, (baseUrl: string) => LookUp> = {
  gRPC: (baseUrl) => throughRpc(createGrpcTransport({ baseUrl })),
  "gRPC-Web": (baseUrl) => throughRpc(createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })),
  "Connect, protobuf": (baseUrl) =>
    throughRpc(createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true })),
  "Connect, JSON": (baseUrl) => {
    const jsonOptions = { registry: createRegistry(ErrorInfoSchema) };
    return throughRpc(
      createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false, jsonOptions }),
    );
  },
  "REST, JSON": (baseUrl) =>
    throughRest(baseUrl, "application/json", (parameters) => JSON.stringify(parameters)),
  "REST, XML": (baseUrl) => throughRest(`${baseUrl}/rest`, "application/xml", xmlOf),
  "REST, form": (baseUrl) => throughRest(`${baseUrl}/rest`, "application/x-www-form-urlencoded", formOf),
};

function throughRpc(transport: Transport): LookUp {
  return async (what, parameters) => {
    const method: DescMethodUnary<DescMessage, DescMessage> = lookUps[what];
    try {
      const request = fromJson(method.input, inProtoJson(parameters) as JsonObject);
      const { message } = await transport.unary(method, undefined, undefined, undefined, request);
      const response = toJson(method.output, message, { useProtoFieldName: true }) as JsonObject;
      return plain(response[getOption(method, operation).result]);
    } catch (reason) {
      if (!(reason instanceof ConnectError)) throw reason;
      const [info] = reason.findDetails(ErrorInfoSchema);
      const http = { NotFound: 404, InvalidArgument: 400, Unavailable: 503 }[Code[reason.code] as "NotFound"];
      return `${http} ${info?.metadata.message_id}`;
    }
  };
}

/** In proto JSON the names of an enum's values have a prefix. */
function inProtoJson(value: JsonValue): JsonValue {
  return JSON.parse(JSON.stringify(value).replace(/"type":"(LOCAL|SUBSCRIBED)"/, '"type":"LIBRARY_TYPE_$1"'));
}

type Write = (parameters: JsonObject, root: { name: string; namespace: string }) => string;

function throughRest(baseUrl: string, contentType: string, write: Write): LookUp {
  const isXml = contentType === "application/xml";
  return async (what, parameters) => {
    const method = lookUps[what];
    const id = getOption(method.parent, serviceOption).id;
    const namespace = `http://vmware.com/${id.replace("com.vmware.", "").replaceAll(".", "/")}`;
    const action = getOption(method, operation).id;
    const response = await fetch(`${baseUrl}/${id.replaceAll(".", "/")}?~action=${action}`, {
      method: "POST",
      headers: { "content-type": contentType, accept: isXml ? contentType : "application/json" },
      body: write(parameters, { name: `${method.name}-Input`, namespace }),
    });
    const text = await response.text();
    const root = response.ok
      ? { name: `${method.name}-Result`, namespace }
      : { name: "Error", namespace: "http://vmware.com/vapi/std/errors" };
    const { value } = isXml ? (decodeXml(Buffer.from(text), root) as JsonObject) : JSON.parse(text);
    return response.ok ? plain(value) : `${response.status} ${value.messages[0].id}`;
  };
}

function xmlOf(parameters: JsonObject, { name, namespace }: { name: string; namespace: string }): string {
  return `<i:${name} xmlns:i="${namespace}">${elements(parameters)}</i:${name}>`;
}

function elements(value: JsonValue): string {
  if (typeof value !== "object" || value === null) {
    return String(value).replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
  }
  return Object.entries(value)
    .map(([name, member]) => `<${name}>${elements(member)}</${name}>`)
    .join("");
}

function formOf(parameters: JsonObject, _root?: unknown, prefix = ""): string {
  return Object.entries(parameters)
    .map(([name, value]) => {
      if (typeof value !== "object") return `&${prefix}${name}=${encodeURIComponent(String(value))}`;
      const members = formOf(value as JsonObject, undefined, `${prefix}${name}.`);
      return members === "" ? `&${prefix}${name}=` : members;
    })
    .join("");
}

function plain(value: JsonValue | undefined): JsonValue | undefined {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => plain(item)!);
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([name, member]) => [name, plain(member)] as const);
    return Object.fromEntries(members.filter(([, member]) => member !== undefined)) as JsonObject;
  }
  return value === undefined ? undefined : String(value).replace(/^LIBRARY_TYPE_/, "");
}
