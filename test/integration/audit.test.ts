import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { AdminService } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { loginHeader } from "../../src/calls/credentials.ts";
import { digestOf } from "../../src/domain/login.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { eventually } from "../support/eventually.ts";
import { type CallMethod, methodClients, tableClients } from "../support/method-clients.ts";
import { addItem } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let app: TestApp;
let directory: TempDir;
beforeAll(async () => {
  directory = await tempDir();
  const usersFile = join(directory.path, "users");
  const lines = ["alice::", "root:admin:"].map((user) => user.replace(/:/, `:${cheapHash("secret")}:`));
  await writeFile(usersFile, lines.map((line) => `${line.replace(/:$/, "")}\n`).join(""), { mode: 0o600 });
  app = await startTestApp({
    settings: {
      ...{ usersFile, auditLog: join(directory.path, "audit"), trustedProxies: "127.0.0.1" },
      ...{ loginFailuresPerUser: "0", loginFailuresPerAddress: "0" },
    },
  });
});
afterAll(async () => {
  await app.stop();
  await directory.remove();
});

type Entry = Readonly<Record<string, unknown>>;

/** Does something and resolves with the entries that it has made, once there are so many. */
async function entriesOf(count: number, work: () => Promise<unknown>): Promise<Entry[]> {
  const before = (await entries()).length;
  await work();
  await eventually(`${count} entries`, async () => (await entries()).length >= before + count);
  return (await entries()).slice(before);
}

async function entries(): Promise<Entry[]> {
  const text = await readFile(join(directory.path, "audit"), "utf8");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const from = { "x-forwarded-for": "203.0.113.7" };
const rpc = DownloadSessionService.method;

/** Resolves with the identifier; JSON-RPC marks it as a secret. */
async function logIn(call: CallMethod, name = "alice", password = "secret"): Promise<string> {
  const headers = { ...from, authorization: basic(name, password) };
  const result = await call(SessionService.method.create, {}, headers);
  return String(typeof result === "object" ? Object.values(result as object)[0] : result);
}

const clients = Object.entries({ ...methodClients, ...tableClients });

test.each(clients)("calls that change something have an entry: %s", async (_, client) => {
  const call = client(app.url);
  const itemId = await addItem(app.contentRoot, { "disk.bin": "content" });
  let login = "";
  let id = "";
  const made = await entriesOf(6, async () => {
    login = await logIn(call);
    const headers = { ...from, [loginHeader]: login };
    const spec = { create_spec: { library_item_id: itemId } };
    id = String(await call(rpc.create, spec, { ...headers, "x-request-id": "the-create" }));
    await call(rpc.get, { download_session_id: id }, headers);
    await call(rpc.list, {}, headers);
    for (let beats = 0; beats < 3; beats++)
      await call(rpc.keepAlive, { download_session_id: id, progress: 5 }, headers);
    await call(rpc.fail, { download_session_id: id, client_error_message: "no\nroom" }, headers);
    await call(rpc.cancel, { download_session_id: id }, headers);
    await call(rpc.delete, { download_session_id: id }, headers);
    await call(SessionService.method.delete, {}, headers);
  });
  const alice = {
    principal: "alice",
    roles: [],
    proof: "login",
    client_address: "203.0.113.7",
    outcome: "ok",
  };
  expect(made).toMatchObject([
    { ...alice, operation: "Session.Create", proof: "password" },
    {
      ...alice,
      operation: "DownloadSession.Create",
      session_id: id,
      library_item_id: itemId,
      request_id: "the-create",
    },
    { ...alice, operation: "DownloadSession.Fail", session_id: id, details: { error_message: "no\nroom" } },
    {
      ...alice,
      operation: "DownloadSession.Cancel",
      session_id: id,
      outcome: "not_allowed_in_current_state",
    },
    { ...alice, operation: "DownloadSession.Delete", session_id: id },
    { ...alice, operation: "Session.Delete" },
  ]);
  expect(JSON.stringify(made)).not.toContain(login);
});

test.each(clients)(
  "refused logins have an entry, with the name when it is that of a user: %s",
  async (_, client) => {
    const call = client(app.url);
    const made = await entriesOf(3, async () => {
      await logIn(call, "alice", "wrong");
      await logIn(call, "aSecretThatWasTyped", "wrong");
      await call(SessionService.method.create, {}, from);
    });
    const refused = { operation: "Session.Create", roles: [], proof: "none", outcome: "unauthenticated" };
    expect(made).toMatchObject([
      { ...refused, principal: "alice", client_address: "203.0.113.7" },
      refused,
      refused,
    ]);
    for (const entry of made.slice(1)) expect(entry).not.toHaveProperty("principal");
    expect(JSON.stringify(made)).not.toContain("aSecret");
  },
);

test("logins over SOAP have entries", async () => {
  const logInAs = (password: string) =>
    fetch(`${app.url}/sdk`, {
      method: "POST",
      headers: from,
      body: `<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>alice</userName><password>${password}</password></Login></Body></Envelope>`,
    });
  const made = await entriesOf(2, async () => {
    await logInAs("wrong");
    await logInAs("secret");
  });
  expect(made.map(({ operation, principal, outcome }) => [operation, principal, outcome])).toEqual([
    ["Session.Create", "alice", "unauthenticated"],
    ["Session.Create", "alice", "ok"],
  ]);
});

test("operators read the latest entries, and list and end login sessions; others may not, which has an entry", async () => {
  const call = methodClients["REST, JSON"]!(app.url);
  const [alice, root] = [await logIn(call), await logIn(call, "root")];
  const adminOf = (id: string) =>
    createClient(
      AdminService,
      createConnectTransport({
        baseUrl: app.url,
        httpVersion: "1.1",
        interceptors: [
          (next) => (request) => {
            request.header.set(loginHeader, id);
            return next(request);
          },
        ],
      }),
    );
  const operator = adminOf(root);
  const { page } = await operator.listLogins({ principal: "alice" });
  const mine = page!.logins.find(({ id }) => id === digestOf(alice))!;
  expect(mine).toMatchObject({ principal: "alice", roles: [], proof: "password" });
  expect(mine.id).not.toContain(alice);
  expect((await operator.listUsers({})).users).toMatchObject([
    { name: "alice", roles: [] },
    { name: "root", roles: ["admin"] },
  ]);
  const made = await entriesOf(3, async () => {
    await expect(adminOf(alice).endLogins({ principal: "root" })).rejects.toThrow(/admin/);
    expect((await operator.endLogins({ ids: [mine.id, "other"] })).report?.ended).toBe(1n);
    const { report } = await operator.endLogins({ principal: "alice" });
    expect(report!.ended).toBe(BigInt(page!.logins.length - 1));
  });
  expect(made).toMatchObject([
    { operation: "Admin.EndLogins", principal: "alice", proof: "login", outcome: "unauthorized" },
    {
      operation: "Admin.EndLogins",
      principal: "root",
      roles: ["admin"],
      details: { ids: [`${mine.id.slice(0, 8)}…`, "ot…"], ended: "1" },
    },
    { operation: "Admin.EndLogins", details: { principal: "alice" }, outcome: "ok" },
  ]);
  await expect(adminOf(alice).listLogins({})).rejects.toThrow(/expired|valid/);
  for (const request of [{}, { ids: ["a"], principal: "b" }]) {
    await expect(operator.endLogins(request)).rejects.toThrow(/Set either 'ids' or 'principal'/);
  }
  const { entries: latest } = await operator.listAuditEntries({ principal: "root" });
  expect(latest.slice(0, 4).map(({ operation, outcome }) => `${operation} ${outcome}`)).toEqual([
    ...["Admin.EndLogins invalid_argument", "Admin.EndLogins invalid_argument"],
    ...["Admin.EndLogins ok", "Admin.EndLogins ok"],
  ]);
  expect(latest.every(({ principal }) => principal === "root")).toBe(true);
});

test("what an operator has ended is named", async () => {
  const call = methodClients.gRPC!(app.url);
  const root = { "vmware-api-session-id": await logIn(call, "root") };
  const ids = [crypto.randomUUID(), crypto.randomUUID()];
  const { endSessions } = AdminService.method;
  const made = await entriesOf(3, async () => {
    await call(endSessions, { ids: ids.slice(1), ending: "DELETE" }, root);
    await call(endSessions, { ids, ending: "FAIL", error_message: "maintenance" }, root);
    const states = ["ACTIVE", "ERROR", "ACTIVE"];
    await call(endSessions, { states, ending: "DELETE", dry_run: true }, root);
  });
  expect(made).toMatchObject([
    { session_id: ids[1], details: { ending: "DELETE", ended: "0" } },
    { details: { ending: "FAIL", error_message: "maintenance", ids, ended: "0" } },
    { details: { ending: "DELETE", states: "ACTIVE,ERROR", dry_run: "true" } },
  ]);
});
