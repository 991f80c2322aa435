import { Agent } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { invocation, type Post, postOverHttp1 } from "../support/json-rpc.ts";

let app: TestApp;
let post: Post;
let item: string;
let id: string;
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const modelName = "com.vmware.content.library.item.download_session_model";
const messageName = "com.vmware.vapi.std.localizable_message";
const paramName = "com.vmware.vapi.std.localization_param";

const spec = (library_item_id: string) => ({
  create_spec: { STRUCTURE: { [modelName]: { library_item_id: { OPTIONAL: library_item_id } } } },
});

beforeAll(async () => {
  app = await startTestApp();
  post = postOverHttp1(app.url, agent);
  item = await app.addItem();
  id = JSON.parse((await post(JSON.stringify(invocation("create", spec(item))))).text).result.output;
});
afterAll(async () => {
  agent.destroy();
  await app.stop();
});

/** Valid requests; ID and ITEM stand for an existing session and item. */
const good = [
  invocation("create", {
    client_token: { OPTIONAL: "b7d7c2f4-0c0e-4a0e-8d2b-5f0d4b7f3a11" },
    create_spec: {
      STRUCTURE: {
        [modelName]: {
          library_item_id: { OPTIONAL: "ITEM" },
          state: { OPTIONAL: "ACTIVE" },
          expiration_time: { OPTIONAL: "2013-06-06T22:13:05.000Z" },
          error_message: {
            OPTIONAL: {
              STRUCTURE: {
                [messageName]: {
                  id: "a",
                  default_message: "b",
                  args: ["c"],
                  params: {
                    OPTIONAL: [
                      {
                        STRUCTURE: {
                          "map-entry": {
                            key: "k",
                            value: { STRUCTURE: { [paramName]: { i: { OPTIONAL: 1 } } } },
                          },
                        },
                      },
                    ],
                  },
                },
              },
            },
          },
        },
      },
    },
  }),
  invocation("keep_alive", { download_session_id: "ID", progress: { OPTIONAL: 10 } }),
  invocation("get", { download_session_id: "ID" }),
  invocation("list", { library_item_id: { OPTIONAL: "ITEM" } }),
  invocation("fail", { download_session_id: "NOBODY", client_error_message: "x" }),
].map((whole) => JSON.stringify(whole));

/** Names with a meaning in some context, and values that a member does not expect. */
const names = fc.constantFrom(
  ...[
    "__proto__",
    "constructor",
    "toString",
    "valueOf",
    "STRUCTURE",
    "OPTIONAL",
    "SECRET",
    "ERROR",
    "map-entry",
  ],
  ...["operation-input", "schemeId", "sessionId", "opId", "id", "input", "ctx", modelName],
);
const anything = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(null, true, 0, -1, 2 ** 53, 0.5, "", "x", []),
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(names, tie("value"), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

const mutation = fc.record({
  at: fc.nat(),
  cut: fc.nat({ max: 6 }),
  insert: fc.oneof(
    fc.uint8Array({ maxLength: 4 }),
    fc.constantFrom(...'{}[]":,\\0e.-'.split("")).map((char) => Uint8Array.from(Buffer.from(char))),
  ),
});

const requests = fc.record({
  text: fc.constantFrom(...good),
  /** Which of the values of the request is replaced, and by what. */
  replacement: fc.option(fc.tuple(fc.nat(), anything), { freq: 2 }),
  mutations: fc.oneof(fc.constant([]), fc.array(mutation, { maxLength: 3 })),
  type: fc.oneof(
    { weight: 9, arbitrary: fc.constant("application/json") },
    { weight: 1, arbitrary: fc.constantFrom("text/plain", "application/xml", "x") },
  ),
  path: fc.oneof(
    { weight: 9, arbitrary: fc.constant("/api") },
    { weight: 1, arbitrary: fc.stringMatching(/^\/api\/[/a-z]{0,20}$/) },
  ),
});

/** The text with one of its values, of those at any depth, replaced. */
function replaced(text: string, [place, value]: readonly [number, unknown]): string {
  let count = 0;
  JSON.parse(text, (_, each) => {
    count++;
    return each;
  });
  let index = 0;
  return JSON.stringify(JSON.parse(text, (_, each) => (index++ === place % count ? value : each)));
}

function mutated(
  text: string,
  mutations: readonly { at: number; cut: number; insert: Uint8Array }[],
): Uint8Array {
  return mutations.reduce<Uint8Array>((bytes, { at, cut, insert }) => {
    const start = at % (bytes.length + 1);
    return Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(start + cut)]);
  }, Buffer.from(text));
}

test("every request gets a valid answer, and the process keeps serving", {
  timeout: 90_000,
}, async () => {
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(requests, async ({ text, replacement, mutations, type, path }) => {
      const withIds = text.replaceAll("ITEM", item).replaceAll("ID", id);
      const changed = replacement === null ? withIds : (replaced(withIds, replacement) ?? "null");
      const answer = await post(mutated(changed, mutations), { "content-type": type }, path);
      const outcome = outcomeOf(path, answer);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }),
    { numRuns: 5000 },
  );
  const { text } = await post(JSON.stringify(invocation("list", {})));
  expect(JSON.parse(text).result.output).toContain(id);
  // A generator whose requests all fail, or all succeed, proves nothing.
  for (const outcome of [
    "output",
    "invalid_argument",
    "not_found",
    "operation_not_found",
    "-32700",
    "-32600",
    "-32602",
  ]) {
    expect([outcome, outcomes.get(outcome) ?? 0]).toEqual([outcome, expect.toSatisfy((count) => count > 20)]);
  }
});

function outcomeOf(path: string, { status, headers, text }: Awaited<ReturnType<Post>>): string {
  if (path !== "/api") {
    expect(status).toBe(404);
    expect(JSON.parse(text).messages).toBeInstanceOf(Array);
    return "another path";
  }
  expect([status, headers["content-type"]]).toEqual([200, "application/json"]);
  const { jsonrpc, id: echoed, result, error, ...others } = JSON.parse(text);
  expect([jsonrpc, others, echoed === undefined]).toEqual(["2.0", {}, false]);
  expect((result === undefined) !== (error === undefined)).toBe(true);
  if (error !== undefined) {
    expect([-32700, -32600, -32601, -32602, -31001]).toContain(error.code);
    expect(error.message).toMatch(/\.$/);
    return String(error.code);
  }
  if ("output" in result) return "output";
  const [[name, value]] = Object.entries(result.error.ERROR) as [[string, { messages: unknown[] }]];
  expect(headers["vapi-error"]).toBe(name);
  expect(value.messages).toHaveLength(1);
  const type = name.replace("com.vmware.vapi.std.errors.", "");
  expect(["invalid_argument", "not_found", "not_allowed_in_current_state", "operation_not_found"]).toContain(
    type,
  );
  return type;
}
