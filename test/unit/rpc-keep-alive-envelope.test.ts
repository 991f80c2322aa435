import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { KeepAliveResponseSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { envelope } from "../../src/protocols/rpc/fast-lane/envelope.ts";
import { keepAliveEnvelope } from "../../src/protocols/rpc/fast-lane/keep-alive-envelope.ts";

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

test("the answer to a keep-alive has the same bytes as from the runtime", () => {
  fc.assert(
    fc.property(responses, (init) => {
      const response = create(KeepAliveResponseSchema, init);
      expect(keepAliveEnvelope(response)).toEqual(envelope(toBinary(KeepAliveResponseSchema, response)));
    }),
    { numRuns: 2000 },
  );
});
