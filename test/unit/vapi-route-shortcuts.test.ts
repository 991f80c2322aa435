import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { KeepAliveRequestSchema } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { planOf } from "../../src/vapi/binder.ts";
import type { Binding } from "../../src/vapi/bindings.ts";
import { restDialect } from "../../src/vapi/dialects.ts";
import { RouteTable } from "../../src/vapi/route-table.ts";

const root = { name: "", namespace: "" };
const paths = ["/s", "/s/t", "/s/id:{download_session_id}", "/s/id:{download_session_id}/t", "/t/s"];

const binding: Binding = {
  name: "any",
  operationId: "any",
  isRoutine: false,
  isLogin: false,
  isLogout: false,
  run: async () => create(KeepAliveRequestSchema),
  request: planOf(KeepAliveRequestSchema),
  result: undefined,
  routes: paths.map((path) => ({ method: "GET", path, action: "", status: 200 })),
  inputRoot: root,
  resultRoot: root,
};

const table = new RouteTable();
table.add(binding, restDialect);

/** A segment as it is, and with some characters percent-encoded, so that it is walked to, not looked up. */
const segment = fc
  .tuple(fc.constantFrom("s", "t", "rest", "id:x", "id:", "id:s", "", "x"), fc.infiniteStream(fc.boolean()))
  .map(([plain, isEncoded]) => {
    const encode = (char: string) =>
      isEncoded.next().value ? `%${char.charCodeAt(0).toString(16).padStart(2, "0")}` : char;
    return { plain, encoded: [...plain].map(encode).join("") };
  });

test("a path leads to the same place whether it is looked up or walked", () => {
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 5 }), (segments) => {
      const plain = table.find(segments.map((each) => `/${each.plain}`).join(""));
      const walked = table.find(segments.map((each) => `/${each.encoded}`).join(""));
      expect(plain?.targets).toBe(walked?.targets);
      expect(plain?.values).toEqual(walked?.values);
    }),
    { numRuns: 2000 },
  );
});

test("the paths that the property is about lead somewhere", () => {
  for (const path of paths) expect(table.find(path.replace("{download_session_id}", "x"))).toBeDefined();
});
