import fc from "fast-check";
import { expect, test } from "vitest";
import { dialects } from "../../src/protocols/vapi/dialects.ts";
import { RouteTable } from "../../src/protocols/vapi/route-table.ts";
import { bindingOn, type RouteOption } from "../support/binding.ts";

const get = (value: string): RouteOption => ({ pattern: { case: "get", value } });
const restPaths = ["/s", "/s/t", "/s/id:{download_session_id}", "/s/id:{download_session_id}/t", "/t/s"];
const apiPaths = ["/s", "/s/t", "/s/{download_session_id}", "/s/{download_session_id}/t", "/t/s"];

const binding = bindingOn({ rest: restPaths.map(get), api: apiPaths.map(get) });
const table = new RouteTable();
for (const dialect of dialects) table.add(binding, dialect);

/** A segment as it is, and with some characters percent-encoded, so that it is walked to, not looked up. */
const segment = fc
  .tuple(
    fc.constantFrom("s", "t", "rest", "api", "id:x", "id:", "id:s", "", "x"),
    fc.infiniteStream(fc.boolean()),
  )
  .map(([plain, isEncoded]) => {
    const encode = (char: string) =>
      isEncoded.next().value ? `%${char.charCodeAt(0).toString(16).padStart(2, "0")}` : char;
    return { plain, encoded: [...plain].map(encode).join("") };
  });

test("a path matches the same whether it is looked up or walked", () => {
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 5 }), (segments) => {
      const plain = table.find(segments.map((each) => `/${each.plain}`).join(""));
      const walked = table.find(segments.map((each) => `/${each.encoded}`).join(""));
      expect(plain?.endpoints).toBe(walked?.endpoints);
      expect(plain?.values).toEqual(walked?.values);
    }),
    { numRuns: 2000 },
  );
});

test("the paths that the property uses have routes", () => {
  for (const path of [...restPaths, ...apiPaths.map((each) => `/api${each}`)]) {
    expect(table.find(path.replace("{download_session_id}", "x"))).toBeDefined();
  }
});
