import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  BatchKeepAliveResponseSchema,
  KeepAliveRequestSchema,
  KeepAliveResponseSchema,
  KeepAliveResultSchema,
  KeepAliveStreamResponseSchema,
} from "../../gen/content/library/item/v1/download_session_pb.ts";
import { encoderOf } from "../../src/calls/encoder.ts";
import {
  encodeKeepAlive,
  encodeKeepAliveBatch,
  encodeKeepAliveStream,
} from "../../src/operations/keep-alive-encoder.ts";
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

const renewal = fc.record({
  downloadSessionId: fc.oneof(fc.uuid(), fc.string({ unit: "grapheme", minLength: 20, maxLength: 300 })),
  expirationTime: fc.record({
    seconds: fc.bigInt(0n, 2n ** 33n),
    nanos: fc.integer({ min: 0, max: 999_999_999 }),
  }),
  clientProgress: fc.bigInt(0n, 100n),
});
const odd = fc.record(
  {
    downloadSessionId: fc.string({ unit: "grapheme" }),
    expirationTime: fc.record({ seconds: int64, nanos: fc.integer() }),
    clientProgress: int64,
    error: fc.record({ code: fc.nat(16), message: fc.string({ unit: "grapheme" }) }),
  },
  { requiredKeys: [] },
);
const result = fc.oneof({ weight: 5, arbitrary: renewal }, { weight: 1, arbitrary: odd });

test("results of heartbeats on a stream and in a batch have the bytes that the runtime would give them", () => {
  const ofStream = fc.record({ result }, { requiredKeys: [] });
  fc.assert(
    fc.property(ofStream, (init) => {
      const response = create(KeepAliveStreamResponseSchema, init);
      const expected = envelope(toBinary(KeepAliveStreamResponseSchema, response));
      expect(encodedEnvelope(response, encodeKeepAliveStream)).toEqual(expected);
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.oneof(fc.array(renewal), fc.array(result)), (results) => {
      const response = create(BatchKeepAliveResponseSchema, { results });
      const expected = envelope(toBinary(BatchKeepAliveResponseSchema, response));
      expect(encodedEnvelope(response, encodeKeepAliveBatch)).toEqual(expected);
    }),
    { numRuns: 500 },
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
