import { create, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  CreateRequestSchema,
  DownloadSessionModelSchema,
  KeepAliveRequestSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { HealthListResponseSchema } from "../../gen/grpc/health/v1/health_pb.ts";
import {
  FileDescriptorResponseSchema,
  ServerReflectionRequestSchema,
} from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { LocalizableMessageSchema } from "../../gen/vapi/v1/localizable_message_pb.ts";
import { bindInto, planOf, UnsupportedFieldError } from "../../src/protocols/vapi/binder.ts";
import { decodeForm } from "../../src/protocols/vapi/codecs/form.ts";
import { decodeJson } from "../../src/protocols/vapi/codecs/json.ts";
import { decodeXml } from "../../src/protocols/vapi/codecs/xml.ts";
import { fieldEncoderOf } from "../../src/protocols/vapi/encoder.ts";
import type { TreeObject } from "../../src/protocols/vapi/tree.ts";

const root = { name: "Create-Input", namespace: "http://vmware.com/content/library/item/download_session" };
const json = (text: string): [TreeObject, boolean] => [decodeJson(Buffer.from(text))!, false];
const form = (text: string): [TreeObject, boolean] => [decodeForm(Buffer.from(text)), true];
const xml = (text: string): [TreeObject, boolean] => [decodeXml(Buffer.from(text), root)!, true];

function bindCreate([tree, textual]: [TreeObject, boolean]) {
  const message = create(CreateRequestSchema);
  bindInto(message, planOf(CreateRequestSchema), tree, textual, "create");
  return toJson(CreateRequestSchema, message);
}

function bindProgress([tree, textual]: [TreeObject, boolean]) {
  const message = create(KeepAliveRequestSchema);
  bindInto(message, planOf(KeepAliveRequestSchema), tree, textual, "keep_alive");
  return message.progress;
}

/** Everything that the 2014 sample of create sends, as protobuf JSON prints it. */
const whole = {
  clientToken: "client_token",
  createSpec: {
    id: "obj-103",
    libraryItemId: "obj-104",
    libraryItemContentVersion: "v1",
    errorMessage: { id: "msg-1", defaultMessage: "text", args: ["a", "b"] },
    clientProgress: "1",
    state: "STATE_ACTIVE",
    expirationTime: "2013-06-06T22:13:05Z",
  },
};

describe("the whole sample of create", () => {
  test("JSON", () => {
    const text = `{"client_token":"client_token","create_spec":{"id":"obj-103","library_item_id":"obj-104",
      "library_item_content_version":"v1","error_message":{"id":"msg-1","default_message":"text","args":["a","b"]},
      "client_progress":1,"state":"ACTIVE","expiration_time":"2013-06-06T22:13:05"}}`;
    expect(bindCreate(json(text))).toEqual(whole);
  });

  test("form", () => {
    const text = `&client_token=client_token&create_spec.id=obj-103&create_spec.library_item_id=obj-104
&create_spec.library_item_content_version=v1&create_spec.error_message.id=msg-1
&create_spec.error_message.default_message=text&create_spec.error_message.args.1=a
&create_spec.error_message.args.2=b&create_spec.client_progress=1&create_spec.state=ACTIVE
&create_spec.expiration_time=2013-06-06T22%3A13%3A05`;
    expect(bindCreate(form(text))).toEqual(whole);
  });

  test("XML", () => {
    const text = `<?xml version="1.0"?>
<ns0:Create-Input xmlns:ns0="${root.namespace}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <create_spec>
    <state>ACTIVE</state>
    <error_message>
      <args-array><array-item>a</array-item><array-item>b</array-item></args-array>
      <default_message>text</default_message>
      <id>msg-1</id>
    </error_message>
    <client_progress> 1 </client_progress>
    <expiration_time>2013-06-06T22:13:05</expiration_time>
    <library_item_content_version>v1</library_item_content_version>
    <library_item_id>obj-104</library_item_id>
    <id>obj-103</id>
  </create_spec>
  <client_token>client_token</client_token>
</ns0:Create-Input>`;
    expect(bindCreate(xml(text))).toEqual(whole);
  });
});

describe("values", () => {
  test("longs keep all their digits", () => {
    expect(bindProgress(json('{"progress":9223372036854775807}'))).toBe(9223372036854775807n);
    expect(bindProgress(form("progress=-9223372036854775808"))).toBe(-9223372036854775808n);
  });

  test("null is unset", () => expect(bindProgress(json('{"progress":null}'))).toBeUndefined());

  test.each(["10", '"10"', '"+10"', '" 10 "'])("a JSON long may be %s", (value) =>
    expect(bindProgress(json(`{"progress":${value}}`))).toBe(10n),
  );

  test.each([
    "10.5",
    "10.0",
    "1e3",
    "1e1",
    "9223372036854775808",
    "true",
    "[10]",
    "{}",
    '""',
    '"ten"',
    '"10.0"',
    '"1e1"',
    '"0x10"',
  ])("a JSON long is not %s", (value) =>
    expect(() => bindProgress(json(`{"progress":${value}}`))).toThrow("'progress' must be an integer"),
  );

  test.each(["", "ten", "0x10", "1e1", "10.0", "99999999999999999999"])("a form long is not %s", (value) =>
    expect(() => bindProgress(form(`progress=${value}`))).toThrow("'progress' must be an integer"),
  );

  test("a repeated form name is reported as repeated", () => {
    expect(() => bindProgress(form("progress=1&progress=1"))).toThrow("'progress' is set more than once.");
  });

  test.each([
    ["an unknown member", '{"create_spec":{"no":1}}', "'create_spec.no' is not a parameter of create_spec."],
    ["camelCase", '{"createSpec":{}}', "'createSpec' is not a parameter of create."],
    ["a text for a structure", '{"create_spec":"x"}', "'create_spec' must be a structure."],
    [
      "an unknown state",
      '{"create_spec":{"state":"GONE"}}',
      "'create_spec.state' must be one of ACTIVE, CANCELED, ERROR.",
    ],
    ["a prefixed state", '{"create_spec":{"state":"STATE_ACTIVE"}}', "must be one of"],
    ["a numeric state", '{"create_spec":{"state":1}}', "must be one of"],
    ["a bad date", '{"create_spec":{"expiration_time":"2025-02-30T00:00:00Z"}}', "must be a date and time"],
    ["a lone surrogate", '{"client_token":"\\ud800"}', "must be Unicode text"],
    [
      "a null in a list",
      '{"create_spec":{"error_message":{"args":[null]}}}',
      "'create_spec.error_message.args.1' must be set.",
    ],
  ])("%s is refused", (_, text, message) => expect(() => bindCreate(json(text))).toThrow(message));

  test("an unknown member that is unset is ignored", () => {
    expect(bindCreate(json('{"create_spec":{"no":null,"library_item_id":"a"}}'))).toEqual(
      bindCreate(json('{"create_spec":{"library_item_id":"a"}}')),
    );
  });

  test("two sources of a member must agree", () => {
    const message = create(KeepAliveRequestSchema);
    const plan = planOf(KeepAliveRequestSchema);
    bindInto(message, plan, { download_session_id: "a", progress: "0" }, true, "keep_alive");
    bindInto(message, plan, { download_session_id: "a", progress: "0" }, true, "keep_alive");
    expect(() => bindInto(message, plan, { progress: "1" }, true, "keep_alive")).toThrow("set twice");
    expect(() => bindInto(message, plan, { download_session_id: "b" }, true, "keep_alive")).toThrow(
      "set twice",
    );
  });

  test("a structure in the body was silently replaced by the one in the query string", () => {
    const message = create(CreateRequestSchema);
    const plan = planOf(CreateRequestSchema);
    const spec = (item: string) => ({ create_spec: { library_item_id: item } });
    bindInto(message, plan, spec("a"), false, "create");
    bindInto(message, plan, spec("a"), true, "create");
    expect(() => bindInto(message, plan, spec("b"), true, "create")).toThrow(
      "'create_spec' is set twice, with different values.",
    );
    expect(message.createSpec?.libraryItemId).toBe("a");
  });

  test("a map is a list of keys and values, and comes back as it was", () => {
    const tree = {
      id: "m",
      default_message: "t",
      args: [],
      params: [
        { key: "__proto__", value: { s: "x" } },
        {
          key: "n",
          value: { i: 5, d: 1.5, dt: "2025-03-04T10:15:30.123Z", format: "MED_DATE", l: { id: "in" } },
        },
      ],
    };
    const message = create(LocalizableMessageSchema);
    bindInto(
      message,
      planOf(LocalizableMessageSchema),
      decodeJson(Buffer.from(JSON.stringify(tree)))!,
      false,
      "x",
    );
    const field = DownloadSessionModelSchema.field.errorMessage;
    expect(fieldEncoderOf(field)(message)).toEqual(tree);
  });
});

test.each([
  ["bytes", FileDescriptorResponseSchema],
  ["a oneof", ServerReflectionRequestSchema],
])("a message with %s refuses to start", (_, schema) => {
  expect(() => planOf(schema)).toThrow(UnsupportedFieldError);
});

test("a map to messages can be read", () => expect(() => planOf(HealthListResponseSchema)).not.toThrow());
