import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { cheapHash } from "../support/auth-calls.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let app: TestApp;
let users: TempDir;

beforeAll(async () => {
  users = await tempDir();
  const usersFile = join(users.path, "users");
  const entries = ["alice", "carol"].map((name) => `${name}:${cheapHash("correct & horse")}:\n`);
  await writeFile(usersFile, entries.join(""), { mode: 0o600 });
  app = await startTestApp({
    settings: { auth: "required", usersFile, loginFailuresPerUser: "3", loginFailuresPerAddress: "0" },
  });
});
afterAll(async () => {
  await app.stop();
  await users.remove();
});

const sessionManager = '<_this type="SessionManager">SessionManager</_this>';

/** As govmomi writes it. */
function envelope(method: string, content: string): string {
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>' +
    `<${method} xmlns="urn:vim25">${content}</${method}></Body></Envelope>`
  );
}

async function post(body: string, headers: Record<string, string> = {}) {
  const response = await fetch(`${app.url}/sdk`, {
    method: "POST",
    headers: { "content-type": 'text/xml; charset="utf-8"', soapaction: "urn:vim25/9.1.0.0", ...headers },
    body,
  });
  return { status: response.status, text: await response.text(), cookie: response.headers.get("set-cookie") };
}

const call = (method: string, content = sessionManager, headers: Record<string, string> = {}) =>
  post(envelope(method, content), headers);

const logIn = (name: string, password: string) =>
  call(
    "Login",
    `${sessionManager}<userName>${name}</userName><password>${password}</password><locale>en_US</locale>`,
  );

async function loginCookie(): Promise<{ cookie: string; id: string }> {
  const { status, cookie } = await logIn("alice", "correct &amp; horse");
  expect(status).toBe(200);
  const [pair = ""] = cookie?.split(";") ?? [];
  return { cookie: pair, id: pair.split("=")[1]! };
}

const currentSession =
  '<_this type="PropertyCollector">PropertyCollector</_this><specSet><propSet><type>SessionManager</type>' +
  "<pathSet>currentSession</pathSet></propSet><objectSet>" +
  '<obj type="SessionManager">SessionManager</obj></objectSet></specSet>';

test("what is there is described without a login", async () => {
  const { status, text, cookie } = await call("RetrieveServiceContent", "<_this>ServiceInstance</_this>");
  expect([status, cookie]).toEqual([200, null]);
  expect(text).toContain(
    '<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval><rootFolder type="Folder">',
  );
  expect(text).toContain('<sessionManager type="SessionManager">SessionManager</sessionManager>');
  expect(text).toContain("<apiType>VirtualCenter</apiType>");
  const versions = await fetch(`${app.url}/sdk/vimServiceVersions.xml`);
  expect([versions.status, versions.headers.get("content-type")]).toEqual([200, "text/xml; charset=utf-8"]);
  expect(await versions.text()).toMatch(/<namespace><name>urn:vim25<\/name><version>[\d.]+<\/version>/);
});

describe("a login", () => {
  test("opens a session that counts on every protocol, and a logout ends it", async () => {
    const { status, text, cookie } = await logIn("alice", "correct &amp; horse");
    expect(status).toBe(200);
    expect(cookie).toMatch(/^vmware_soap_session=[0-9a-f]{32}; Path=\/sdk; HttpOnly; SameSite=Strict$/);
    expect(text).toMatch(
      /<returnval><key>\w+<\/key><userName>alice<\/userName><fullName>alice<\/fullName><loginTime>20/,
    );
    const id = /=(\w+)/.exec(cookie!)![1]!;
    expect(text).not.toContain(id);
    const headers = { "vmware-api-session-id": id };
    expect(
      ((await (await fetch(`${app.url}/api/session`, { headers })).json()) as { user: string }).user,
    ).toBe("alice");
    const out = await call("Logout", sessionManager, { cookie: `vmware_soap_session="${id}"` });
    expect([out.status, out.text.includes("<LogoutResponse")]).toEqual([200, true]);
    expect(out.cookie).toMatch(/^vmware_soap_session=; Max-Age=0; Path=\/sdk/);
    expect((await fetch(`${app.url}/api/session`, { headers })).status).toBe(401);
  });

  test.each(["RetrieveProperties", "RetrievePropertiesEx"])(
    "is the current session of %s",
    async (method) => {
      const { cookie } = await loginCookie();
      const { status, text } = await call(method, currentSession, { cookie });
      expect(status).toBe(200);
      expect(text).toContain(
        '<obj type="SessionManager">SessionManager</obj><propSet><name>currentSession</name>',
      );
      expect(text).toContain('<val xsi:type="UserSession"><key>');
      expect(text.includes("<objects>")).toBe(method.endsWith("Ex"));
    },
  );

  test.each([
    ["alice", "wrong"],
    ["alice:", "correct &amp; horse"],
    ["nobody", ""],
  ])("of %s with the password '%s' is an InvalidLogin", async (name, password) => {
    const { status, text, cookie } = await logIn(name, password);
    expect([status, cookie]).toEqual([500, null]);
    expect(text).toContain("<faultstring>The credentials are wrong.</faultstring>");
    expect(text).toContain('<detail><InvalidLoginFault xmlns="urn:vim25" xsi:type="InvalidLogin">');
  });

  test("counts among the failures of a user", async () => {
    for (let times = 0; times < 3; times++) await logIn("carol", "wrong");
    const { status, text } = await logIn("carol", "correct &amp; horse");
    expect([status, text.includes("Too many logins have failed")]).toEqual([500, true]);
  });
});

test.each(["Logout", "RetrievePropertiesEx", "CurrentTime"])("%s needs a session", async (method) => {
  const content = method === "RetrievePropertiesEx" ? currentSession : sessionManager;
  const { id } = await loginCookie();
  const notAuthenticated = '<NotAuthenticatedFault xmlns="urn:vim25" xsi:type="NotAuthenticated">';
  const foreign = { cookie: `vmware_soap_session=${id}`, origin: "http://elsewhere.example" };
  for (const headers of [{}, { cookie: "vmware_soap_session=stale" }, foreign]) {
    const { status, text } = await call(method, content, headers);
    expect([status, text.includes(notAuthenticated)]).toEqual([500, true]);
  }
});

test("everything else is a fault that says so", async () => {
  const { cookie } = await loginCookie();
  const find = await call("FindByUuid", "<_this>SearchIndex</_this>", { cookie });
  expect(find.status).toBe(500);
  expect(find.text).toContain("SOAP is only for logging in and out here: there is no 'FindByUuid'.");
  expect(find.text).toContain("<MethodNotFoundFault");
  const folder = currentSession.replace('"SessionManager">SessionManager', '"Folder">a&lt;b');
  const other = await call("RetrievePropertiesEx", folder, { cookie });
  expect(other.text).toContain("there is no managed object 'a&lt;b'.");
  expect(other.text).toContain("<ManagedObjectNotFoundFault");
});

test.each([
  ["nothing", ""],
  ["no XML", "{}"],
  ["XML that is cut", envelope("Login", "").slice(0, -5)],
  ["an envelope without a request", "<Envelope><Body/></Envelope>"],
  ["a document type", `<!DOCTYPE a [<!ENTITY b "c">]>${envelope("Login", "").slice(39)}`],
  ["a deep document", "<a>".repeat(20_000)],
  ["a large document", envelope("Login", "x".repeat(70_000))],
])("%s is a fault", async (_, body) => {
  const { status, text } = await post(body);
  expect(status).toBe(500);
  expect(text).toMatch(
    /<faultcode>ServerFaultCode<\/faultcode><faultstring>The (request can't be read|body is larger)/,
  );
});

test.each([
  ["GET", "/sdk"],
  ["POST", "/sdk/vimServiceVersions.xml"],
  ["POST", "/sdk/"],
])("%s %s is no SOAP", async (method, path) => {
  const response = await fetch(app.url + path, { method });
  expect([response.status, response.headers.get("content-type")]).toEqual([404, "application/json"]);
});
