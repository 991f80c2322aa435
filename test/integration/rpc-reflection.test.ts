import { create, createFileRegistry, fromBinary, getOption, hasOption } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { operation as operationOption } from "../../gen/vapi/v1/options_pb.ts";
import { grpcJsCall, grpcJsClient, grpcObjectOf, loadInterface } from "../support/grpc-js.ts";
import { itemId, type RpcService, serviceName, startRpcService } from "../support/rpc-service.ts";

const grpcInterface = loadInterface();
let service: RpcService;

interface Answer {
  readonly original_request: object;
  readonly valid_host: string;
  readonly file_descriptor_response?: { readonly file_descriptor_proto: Buffer[] };
  readonly all_extension_numbers_response?: { base_type_name: string; extension_number: number[] };
  readonly list_services_response?: { readonly service: { readonly name: string }[] };
  readonly error_response?: { readonly error_code: number; readonly error_message: string };
}

/** One reflection stream, request by request. */
function converse(version: string, url = service.http2Url) {
  const client = grpcJsClient(grpcInterface, `grpc.reflection.${version}.ServerReflection`, url);
  const stream: ClientDuplexStream<object, Answer> = client.ServerReflectionInfo();
  const waiting: ((answer: Answer) => void)[] = [];
  stream.on("data", (answer: Answer) => waiting.shift()?.(answer));
  stream.on("error", () => {});
  const ended = new Promise<number>((resolve) => {
    stream.on("status", ({ code }) => resolve(code));
  });
  const ask = (question: object) =>
    new Promise<Answer>((resolve) => {
      waiting.push(resolve);
      stream.write(question);
    });
  return {
    ask,
    ended,
    /** Files in the answer, decoded. */
    async files(question: object) {
      const answer = await ask(question);
      return (answer.file_descriptor_response?.file_descriptor_proto ?? []).map((bytes) =>
        fromBinary(FileDescriptorProtoSchema, bytes),
      );
    },
    async [Symbol.asyncDispose]() {
      stream.end();
      await ended;
      client.close();
    },
  };
}

const sessionFile = "content/library/item/v1/download_session.proto";
const optionsFile = "vapi/v1/options.proto";

describe.each([
  { version: "v1", lane: "on the fast lane", fastLane: true },
  { version: "v1alpha", lane: "on the fast lane", fastLane: true },
  { version: "v1", lane: "in Connect's runtime", fastLane: false },
])("server reflection $version $lane", ({ version, fastLane }) => {
  beforeAll(async () => {
    service = await startRpcService({ fastLane });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  test("lists every service that is served", async () => {
    await using conversation = converse(version);
    const { list_services_response } = await conversation.ask({ list_services: "*" });
    expect(list_services_response?.service.map(({ name }) => name)).toEqual([
      serviceName,
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ]);
  });

  test("gives a client without proto files all it needs to call KeepAlive", async () => {
    const collected: Buffer[] = [];
    {
      await using conversation = converse(version);
      const { list_services_response } = await conversation.ask({ list_services: "" });
      for (const { name } of list_services_response!.service) {
        const answer = await conversation.ask({ file_containing_symbol: name });
        collected.push(...answer.file_descriptor_response!.file_descriptor_proto);
      }
    }
    const writer = new BinaryWriter();
    for (const bytes of collected) writer.tag(1, 2).bytes(bytes);
    const grpcObject = grpcObjectOf(Buffer.from(writer.finish()));

    const client = grpcJsClient(grpcObject, serviceName, service.http2Url);
    const created = await grpcJsCall(client, "Create", { create_spec: { library_item_id: itemId } });
    const { download_session_id } = created.reply as { download_session_id: string };
    const keptAlive = await grpcJsCall(client, "KeepAlive", { download_session_id, progress: 70 });
    expect(keptAlive).toMatchObject({ code: status.OK, reply: { client_progress: "70" } });
    client.close();
  });

  test("serves the types of error details, which no served file imports", async () => {
    await using conversation = converse(version);
    const [file] = await conversation.files({ file_containing_symbol: "google.rpc.ErrorInfo" });
    expect(file?.name).toBe("google/rpc/error_details.proto");
  });

  test("serves custom options as they are in the proto files", async () => {
    await using conversation = converse(version);
    const files = await conversation.files({ file_by_filename: sessionFile });
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files.reverse() }));
    const keepAlive = registry.getService(serviceName)?.method.keepAlive;
    expect(keepAlive && hasOption(keepAlive, operationOption)).toBe(true);
    expect(getOption(keepAlive!, operationOption)).toMatchObject({
      id: "keep_alive",
      rest: expect.arrayContaining([expect.objectContaining({ action: "keep-alive" })]),
    });
  });

  test("sends the requested file, then its imports, and an import only once on a stream", async () => {
    await using conversation = converse(version);
    const namesOf = async (question: object) => (await conversation.files(question)).map(({ name }) => name);
    expect(await namesOf({ file_by_filename: optionsFile })).toEqual([
      optionsFile,
      "google/protobuf/descriptor.proto",
    ]);
    expect(await namesOf({ file_by_filename: sessionFile })).toEqual([
      sessionFile,
      "vapi/v1/localizable_message.proto",
      "google/rpc/status.proto",
      "google/protobuf/any.proto",
      "google/protobuf/timestamp.proto",
    ]);
    expect(await namesOf({ file_by_filename: sessionFile })).toEqual([sessionFile]);
    await using another = converse(version);
    expect(await another.files({ file_by_filename: sessionFile })).toHaveLength(7);
  });

  const message = "content.library.item.v1.DownloadSessionModel";
  test.each([
    ["a service", serviceName, sessionFile],
    ["a method", `${serviceName}.KeepAlive`, sessionFile],
    ["a message", message, sessionFile],
    ["a field", `${message}.client_progress`, sessionFile],
    ["a nested enum", `${message}.State`, sessionFile],
    ["a value of a nested enum", `${message}.STATE_ACTIVE`, sessionFile],
    ["a oneof", "vapi.v1.RestRoute.pattern", optionsFile],
    ["an extension", "vapi.v1.operation", optionsFile],
    [
      "a nested message",
      "google.protobuf.DescriptorProto.ExtensionRange",
      "google/protobuf/descriptor.proto",
    ],
    ["a value of an enum", "google.protobuf.EDITION_2023", "google/protobuf/descriptor.proto"],
    ["itself", `grpc.reflection.${version}.ServerReflection`, `grpc/reflection/${version}/reflection.proto`],
  ])("finds %s, %s", async (_, symbol, name) => {
    await using conversation = converse(version);
    expect((await conversation.files({ file_containing_symbol: symbol }))[0]).toMatchObject({ name });
  });

  test("finds extensions by number", async () => {
    await using conversation = converse(version);
    const containing_type = "google.protobuf.MethodOptions";
    const numbers = await conversation.ask({ all_extension_numbers_of_type: containing_type });
    expect(numbers).toMatchObject({
      all_extension_numbers_response: { base_type_name: containing_type, extension_number: [50811] },
    });
    const [file] = await conversation.files({
      file_containing_extension: { containing_type, extension_number: 50811 },
    });
    expect(file).toMatchObject({ name: optionsFile });
    const none = await conversation.ask({ all_extension_numbers_of_type: message });
    expect(none).toMatchObject({ all_extension_numbers_response: { base_type_name: message } });
  });

  test.each([
    { file_by_filename: "some/file.proto" },
    { file_by_filename: "../../../etc/passwd" },
    { file_containing_symbol: "some.Symbol" },
    { file_containing_symbol: "__proto__" },
    { file_containing_symbol: "" },
    { file_containing_extension: { containing_type: "google.protobuf.MethodOptions", extension_number: 1 } },
    { file_containing_extension: { containing_type: "some.Type", extension_number: 50811 } },
    { all_extension_numbers_of_type: "some.Type" },
  ])("answers %j with NOT_FOUND and goes on", async (question) => {
    await using conversation = converse(version);
    const answer = await conversation.ask({ host: "example.org", ...question });
    expect(answer).toMatchObject({
      valid_host: "example.org",
      original_request: { host: "example.org", ...question },
      error_response: { error_code: status.NOT_FOUND, error_message: expect.stringMatching(/./) },
    });
    expect(await conversation.files({ file_by_filename: sessionFile })).not.toHaveLength(0);
  });

  test("answers an empty request with INVALID_ARGUMENT", async () => {
    await using conversation = converse(version);
    expect(await conversation.ask({})).toMatchObject({
      error_response: { error_code: status.INVALID_ARGUMENT },
    });
  });

  test("ends with OK when the client has no more requests", async () => {
    const conversation = converse(version);
    await conversation.ask({ list_services: "" });
    await conversation[Symbol.asyncDispose]();
    expect(await conversation.ended).toBe(status.OK);
  });

  test("ends with UNAVAILABLE when the server ends", async () => {
    await using stopping = await startRpcService({ fastLane });
    await using conversation = converse(version, stopping.http2Url);
    await conversation.ask({ list_services: "" });
    stopping.endStreams.abort();
    expect(await conversation.ended).toBe(status.UNAVAILABLE);
  });
});
