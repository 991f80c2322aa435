import {
  create,
  type DescField,
  type DescMessage,
  equals,
  getOption,
  hasOption,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import {
  DownloadSessionModelSchema,
  DownloadSessionService,
  KeepAliveRequestSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ItemFileService } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { operation as operationOption } from "../../gen/vapi/v1/options_pb.ts";
import { isOptional } from "../../src/calls/vapi-schema.ts";
import { bindInto, planOf, UnsupportedFieldError } from "../../src/protocols/vapi/binder.ts";
import { decodeJson, encodeJson } from "../../src/protocols/vapi/codecs/json.ts";
import { fieldEncoderOf } from "../../src/protocols/vapi/encoder.ts";
import { apiNotation, dataValueNotation, restNotation } from "../../src/protocols/vapi/notation.ts";
import type { TreeObject } from "../../src/protocols/vapi/tree.ts";

const services = [DownloadSessionService, SessionService, LibraryService, ItemService, ItemFileService];
const notations = [restNotation, apiNotation, dataValueNotation];

/** The request and the response of every operation of vAPI, and with them every structure that they reach. */
const messages = services.flatMap((service) =>
  service.methods
    .filter((method) => hasOption(method, operationOption))
    .flatMap((method) => {
      const { result } = getOption(method, operationOption);
      // Messages that only RPC has have no canonical name.
      return result === "" ? [method.input] : [method.input, method.output];
    }),
);

const text = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom("", "__proto__", "null", "\u0000"));

/** A value of any field; `depth` bounds messages that contain themselves. */
function fieldValue(field: DescField, depth: number): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case "scalar":
      return scalarOf(field.scalar);
    case "enum":
      return fc.constantFrom(
        ...field.enum.values.map(({ number }) => number).filter((number) => number !== 0),
      );
    case "message":
      return messageOf(field.message, depth);
    case "list":
      return fc.array(elementOf(field, depth), { maxLength: 3 });
    case "map":
      return fc.dictionary(text, elementOf(field, depth), { maxKeys: 3, noNullPrototype: true });
  }
}

function elementOf(field: DescField & { fieldKind: "list" | "map" }, depth: number): fc.Arbitrary<unknown> {
  return field.message ? messageOf(field.message, depth) : scalarOf(field.scalar!);
}

function scalarOf(scalar: ScalarType): fc.Arbitrary<unknown> {
  switch (scalar) {
    case ScalarType.STRING:
      return text;
    case ScalarType.INT64:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.DOUBLE:
      // JSON keeps neither minus zero nor NaN and the infinities.
      return fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
    default:
      throw new Error(`no values of scalar ${scalar}`);
  }
}

function messageOf(desc: DescMessage, depth: number): fc.Arbitrary<Message> {
  if (desc.typeName === TimestampSchema.typeName) {
    return fc
      .date({
        min: new Date("0001-01-01T00:00:00Z"),
        max: new Date("9999-12-31T23:59:59Z"),
        noInvalidDate: true,
      })
      .map((date): Timestamp => timestampFromMs(date.getTime()));
  }
  const members = desc.fields.map((field): [string, fc.Arbitrary<unknown>] => {
    const canBeUnset = isOptional(field);
    if (depth === 0 && canBeUnset) return [field.localName, fc.constant(undefined)];
    const value = fieldValue(field, depth - 1);
    return [field.localName, canBeUnset ? fc.option(value, { nil: undefined }) : value];
  });
  return fc.record(Object.fromEntries(members)).map((record) => {
    const set = Object.entries(record).filter(([, value]) => value !== undefined);
    return create(desc, Object.fromEntries(set));
  });
}

describe.each(notations)("$name", (notation) => {
  test.each(messages)("a message is the same after writing and reading: %s", (desc) => {
    const plan = planOf(desc, notation);
    const fields = desc.fields.map((field) => ({ ...field, field, write: fieldEncoderOf(field, notation) }));
    fc.assert(
      fc.property(messageOf(desc, 3), (message) => {
        const tree: Record<string, unknown> = {};
        for (const { field, write } of fields) {
          const value = (message as unknown as Record<string, unknown>)[field.localName];
          const isUnset = value === undefined || (isOptional(field) && isEmpty(value));
          const written =
            notation.isStrict && isOptional(field)
              ? notation.optional(isUnset ? undefined : write(value))
              : isUnset
                ? undefined
                : write(value);
          if (written !== undefined) tree[field.name] = written;
        }
        // Through the codec, as on the wire.
        const read = create(desc);
        bindInto(read, plan, decodeJson(Buffer.from(encodeJson(tree as TreeObject)))!, false, "input");
        expect(equals(desc, read, message)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });
});

/** Lists and maps have no presence. */
function isEmpty(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && !("$typeName" in value) && Object.keys(value).length === 0
  );
}

test("a message without a canonical name refuses to start, but only in JSON-RPC", () => {
  const [results] = DownloadSessionService.method.batchKeepAlive.output.fields;
  expect(() => fieldEncoderOf(results!, dataValueNotation)).toThrow(UnsupportedFieldError);
  expect(() => planOf(DownloadSessionService.method.batchKeepAlive.output, dataValueNotation)).toThrow(
    UnsupportedFieldError,
  );
  expect(() => planOf(DownloadSessionService.method.batchKeepAlive.input, restNotation)).not.toThrow();
  expect(StatusSchema.typeName).toBe("google.rpc.Status");
});

test("a plan is made once for each notation", () => {
  for (const notation of notations) {
    expect(planOf(KeepAliveRequestSchema, notation)).toBe(planOf(KeepAliveRequestSchema, notation));
  }
  expect(planOf(KeepAliveRequestSchema, restNotation)).not.toBe(planOf(KeepAliveRequestSchema, apiNotation));
});

test("unset members are written in JSON-RPC", () => {
  const model = create(DownloadSessionModelSchema, { clientProgress: 40n });
  const write = fieldEncoderOf(
    DownloadSessionService.method.get.output.field.downloadSession!,
    dataValueNotation,
  );
  expect(JSON.parse(encodeJson(write(model)))).toEqual({
    STRUCTURE: {
      "com.vmware.content.library.item.download_session_model": {
        id: { OPTIONAL: null },
        library_item_id: { OPTIONAL: null },
        library_item_content_version: { OPTIONAL: null },
        error_message: { OPTIONAL: null },
        client_progress: { OPTIONAL: 40 },
        state: { OPTIONAL: null },
        expiration_time: { OPTIONAL: null },
      },
    },
  });
});
