import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cheapHash } from "../support/auth-calls.ts";
import { invocation, type Post, postOverHttp1 } from "../support/json-rpc.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Issuer, newIssuer } from "../support/tokens.ts";

let directory: TempDir;
let issuer: Issuer;
let service: Service;
let post: Post;
beforeAll(async () => {
  [directory, issuer] = await Promise.all([tempDir(), newIssuer("RS256")]);
  const [users, jwks] = [join(directory.path, "users"), join(directory.path, "jwks.json")];
  await Promise.all([
    writeFile(jwks, JSON.stringify(issuer.jwks)),
    writeFile(users, `alice:${cheapHash("correct: horse")}:\n`, { mode: 0o600 }),
  ]);
  service = await startService([
    ...["--auth", "required", "--users-file", users, "--jwt-jwks", jwks],
    ...["--jwt-issuer", issuer.issuer, "--jwt-audience", issuer.audience],
  ]);
  post = postOverHttp1(service.url);
});
afterAll(async () => {
  await service.kill();
  await directory.remove();
});

const scheme = (name: string, members: object = {}) => ({
  schemeId: `com.vmware.vapi.std.security.${name}`,
  ...members,
});
const alice = scheme("user_pass", { userName: "alice", password: "correct: horse" });

async function call(
  serviceId: string,
  operationId: string,
  security: object,
  headers: Record<string, string> = {},
  input: object = {},
) {
  const { params, ...whole } = invocation(operationId, input, { id: "0" });
  const ctx = { ...params.ctx, securityCtx: security };
  const answer = await post(JSON.stringify({ ...whole, params: { ...params, serviceId, ctx } }), headers);
  expect(answer.status).toBe(200);
  return { ...answer, result: JSON.parse(answer.text).result };
}

const logins = "com.vmware.cis.session";
const sessions = "com.vmware.content.library.item.download_session";

test("an SDK logs in, calls, and logs out", async () => {
  const login = await call(logins, "create", alice);
  expect(login.result).toEqual({ output: { SECRET: expect.stringMatching(/^[0-9a-f]{32}$/) } });
  const session = scheme("session_id", { sessionId: login.result.output.SECRET });
  expect((await call(sessions, "list", session)).result).toEqual({ output: [] });
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect((await call(logins, "get", session)).result).toEqual({
    output: {
      STRUCTURE: {
        "com.vmware.cis.session.info": { user: "alice", created_time: time, last_accessed_time: time },
      },
    },
  });
  expect((await call(logins, "delete", session)).result).toEqual({ output: null });
  expect(messageOf((await call(sessions, "list", session)).result)).toBe("downlease.authentication.expired");
});

test("a bearer token, in the context or in a header", async () => {
  const token = await issuer.token();
  expect((await call(sessions, "list", scheme("oauth", { accessToken: token }))).result).toEqual({
    output: [],
  });
  for (const security of [{}, scheme("no_authentication"), { schemeId: null }]) {
    const { result } = await call(sessions, "list", security, { authorization: `Bearer ${token}` });
    expect(result).toEqual({ output: [] });
  }
});

test("the login session header takes precedence over the context", async () => {
  const id = (await call(logins, "create", alice)).result.output.SECRET;
  const shown = { "vmware-api-session-id": id };
  for (const security of [{}, alice, scheme("session_id", { sessionId: "x" }), scheme("saml_bearer_token")]) {
    expect((await call(sessions, "list", security, shown)).result).toEqual({ output: [] });
  }
});

test.each<[name: string, security: object, messageId: string]>([
  ["nothing", {}, "required"],
  ["no_authentication", scheme("no_authentication"), "required"],
  ["a password", alice, "password"],
  ["a login session that does not exist", scheme("session_id", { sessionId: "x" }), "expired"],
  ["no login session", scheme("session_id"), "expired"],
  ["a login session that is a structure", scheme("session_id", { sessionId: { toString: 1 } }), "expired"],
  ["a bad token", scheme("oauth", { accessToken: "a.b.c" }), "invalid"],
  ["a token with a line break", scheme("oauth", { accessToken: "a\r\nb" }), "invalid"],
  ["SAML", scheme("saml_bearer_token", { samlToken: "<Assertion/>" }), "scheme"],
  ["an unknown scheme", { schemeId: "basic" }, "scheme"],
  ["a scheme that is a number", { schemeId: 1 }, "scheme"],
  ["a scheme that cannot become a text", { schemeId: { toString: 1, valueOf: 1 } }, "scheme"],
])("%s is unauthenticated, with status 200", async (_, security, messageId) => {
  const { result, headers, text } = await call(sessions, "list", security);
  const name = "com.vmware.vapi.std.errors.unauthenticated";
  expect(headers["vapi-error"]).toBe(name);
  expect(messageOf(result)).toBe(`downlease.authentication.${messageId}`);
  const { data, error_type, challenge } = result.error.ERROR[name];
  expect([data, error_type]).toEqual([{ OPTIONAL: null }, { OPTIONAL: "UNAUTHENTICATED" }]);
  if (messageId === "scheme") expect(text).toContain("com.vmware.vapi.std.security.user_pass");
  else expect(challenge).toEqual({ OPTIONAL: headers["www-authenticate"] });
  expect(text).not.toContain("horse");
});

test.each<[name: string, security: object]>([
  ["a wrong password", scheme("user_pass", { userName: "alice", password: "x" })],
  ["an unknown user", scheme("user_pass", { userName: "bob", password: "x" })],
  ["no name", scheme("user_pass")],
  ["a name with a colon", scheme("user_pass", { userName: "alice:correct", password: " horse" })],
  ["a password that is a list", scheme("user_pass", { userName: "alice", password: [] })],
])("logging in fails with %s", async (_, security) => {
  expect(messageOf((await call(logins, "create", security)).result)).toBe("downlease.authentication.invalid");
});

test("a caller without valid credentials gets no errors about the input", async () => {
  const { result } = await call(sessions, "get", {}, {}, { no: 1 });
  expect(messageOf(result)).toBe("downlease.authentication.required");
});

function messageOf(result: {
  error: {
    ERROR: Record<string, { messages: { STRUCTURE: Record<string, { id: string }> }[] }>;
  };
}): string | undefined {
  const [error] = Object.values(result.error.ERROR);
  return error?.messages[0]?.STRUCTURE["com.vmware.vapi.std.localizable_message"]?.id;
}
