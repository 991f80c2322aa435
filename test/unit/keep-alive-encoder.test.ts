import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  KeepAliveRequestSchema,
  KeepAliveResponseSchema,
  KeepAliveResultSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { encoderOf } from "../../src/calls/encoder.ts";
import { encodeKeepAlive } from "../../src/operations/keep-alive-encoder.ts";
import { encodedEnvelope, envelope } from "../../src/protocols/rpc/fast-lane/envelope.ts";

const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n);
const responses = fc.record(
  {
    expirationTime: fc.record({
      seconds: fc.oneof(fc.bigInt(0n, 2n ** 33n), int64),
      nanos: fc.oneof(fc.integer({ min: 0, max: 999_999_999 }), fc.integer()),
    }),
    clientProgress: fc.oneof(fc.bigInt(0n, 100n), int64),
  },
  { requiredKeys: [] },
);

test("an answer to a heartbeat has the bytes that the runtime would give it", () => {
  fc.assert(
    fc.property(responses, (init) => {
      const response = create(KeepAliveResponseSchema, init);
      const expected = envelope(toBinary(KeepAliveResponseSchema, response));
      expect(encodedEnvelope(response, encodeKeepAlive)).toEqual(expected);
    }),
    { numRuns: 2000 },
  );
});

test("an encoder is refused when its message has other fields than it writes", () => {
  const encode = () => Buffer.alloc(0);
  const fields = ["client_progress", "expiration_time"];
  expect(encoderOf(KeepAliveResponseSchema, fields, encode)).toBe(encode);
  const more = { ...KeepAliveResponseSchema, fields: [...KeepAliveResponseSchema.fields] };
  more.fields.push(KeepAliveRequestSchema.field.downloadSessionId);
  expect(() => encoderOf(more, fields, encode)).toThrow(
    /^the encoder of \S+\.KeepAliveResponse writes the fields client_progress, expiration_time, but it has client_progress, download_session_id, expiration_time$/,
  );
  expect(() => encoderOf(KeepAliveResultSchema, fields, encode)).toThrow(/KeepAliveResult writes/);
  expect(() => encoderOf(KeepAliveResponseSchema, fields.slice(1), encode)).toThrow(/writes the fields/);
});
