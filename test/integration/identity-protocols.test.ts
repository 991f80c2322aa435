import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { type Headers, type ProtocolClient, protocolClients, Refused } from "../support/protocol-clients.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Issuer, newIssuer } from "../support/tokens.ts";

/** Status of a refusal by protocol: gRPC code, HTTP status, or a result of JSON-RPC. */
const statuses: Readonly<Record<string, readonly string[]>> = {
  UNAUTHENTICATED: ["Unauthenticated", "401", "result"],
  NOT_FOUND: ["NotFound", "404", "result"],
};

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    expect(statuses[error.type]).toContain(error.status);
    return `${error.type} ${error.messageId}`;
  }
  return "accepted";
}

/** Every operation, some with arguments that are refused for an authenticated caller. */
function operationsOf(client: ProtocolClient, id: string, item: string): Promise<unknown>[] {
  return [
    client.create(item),
    client.create(undefined, "no token"),
    client.get(id),
    client.get("x".repeat(257)),
    client.list(),
    client.list("nobody"),
    client.keepAlive(id, 10),
    client.keepAlive(id, 1000),
    client.cancel(id),
    client.fail(id, "x"),
    client.delete(id),
  ];
}

async function refusals(works: readonly Promise<unknown>[]): Promise<string[]> {
  return [...new Set(await Promise.all(works.map(refusal)))];
}

interface World {
  /** A client that sends these headers. */
  as(headers: Headers): ProtocolClient;
  /** Headers of a user who has logged in. */
  login(name: string): Promise<Headers>;
  /** Headers with a token. */
  token(claims: Readonly<Record<string, unknown>>): Promise<Headers>;
  readonly url: string;
  readonly item: string;
}

const password = "correct horse";
const missing = "NOT_FOUND downlease.session.not_found";
const unauthenticated = (why: string) => `UNAUTHENTICATED downlease.authentication.${why}`;

const cases: Record<string, (world: World) => Promise<void>> = {
  async "a call without credentials learns nothing and changes nothing"({ as, login, item }) {
    const owner = as(await login("alice"));
    const id = await owner.create(item);
    const before = await owner.get(id);
    expect(await refusals(operationsOf(as({}), id, item))).toEqual([unauthenticated("required")]);
    expect(await owner.get(id)).toEqual(before);
  },
  async "invalid credentials are refused for every operation"({ as, token, item }) {
    const shown: [Headers, string][] = [
      [{ authorization: "Bearer a.b.c" }, "invalid"],
      [await token({ exp: 1 }), "invalid"],
      [await token({ aud: "another" }), "invalid"],
      [{ authorization: basic("alice", password) }, "password"],
      [{ "vmware-api-session-id": "0".repeat(32) }, "expired"],
      [{ cookie: `vmware-api-session-id=${"0".repeat(32)}` }, "expired"],
    ];
    for (const [headers, why] of shown) {
      const reasons = await refusals(operationsOf(as(headers), "any", item));
      // An expired token may be refused as expired or as invalid.
      expect(reasons).toHaveLength(1);
      expect([unauthenticated(why), unauthenticated("expired")]).toContain(reasons[0]);
    }
  },
  async "a principal is the same however it is proven"({ as, login, token, item }) {
    const [byLogin, byToken] = [as(await login("alice")), as(await token({ sub: "alice" }))];
    const clientToken = crypto.randomUUID();
    const id = await byLogin.create(item, clientToken);
    expect(await byToken.create(item, clientToken)).toBe(id);
    await byToken.keepAlive(id, 30);
    expect((await byLogin.get(id)).client_progress).toBe(30);
    expect(await byToken.list(item)).toEqual([id]);
  },
  async "a session of another principal does not exist"({ as, login, item }) {
    const [alice, bob] = [as(await login("alice")), as(await login("bob"))];
    const clientToken = crypto.randomUUID();
    const id = await alice.create(item, clientToken);
    const before = await alice.get(id);
    const works = [bob.get(id), bob.keepAlive(id), bob.keepAlive(id, 1000), bob.cancel(id)];
    expect(await refusals([...works, bob.fail(id, "x"), bob.delete(id)])).toEqual([missing]);
    expect(await bob.list(item)).toEqual([]);
    expect(await bob.create(item, clientToken)).not.toBe(id);
    expect(await alice.get(id)).toEqual(before);
  },
  async "the role admin may do all with the sessions of others, and lists its own"({
    as,
    login,
    token,
    item,
  }) {
    const alice = as(await login("alice"));
    for (const admin of [as(await login("root")), as(await token({ sub: "chief", roles: ["admin"] }))]) {
      const id = await alice.create(item);
      await admin.keepAlive(id, 50);
      expect((await admin.get(id)).client_progress).toBe(50);
      expect(await admin.list(item)).toEqual([]);
      await admin.cancel(id);
      expect((await alice.get(id)).state).toBe("CANCELED");
      await admin.delete(id);
      expect(await refusal(alice.get(id))).toBe(missing);
    }
  },
  async "a login session ends with the logout, at once"({ as, login, url, item }) {
    const headers = await login("alice");
    const client = as(headers);
    const id = await client.create(item);
    const { status } = await fetch(`${url}/api/session`, { method: "DELETE", headers });
    expect(status).toBe(204);
    expect(await refusals(operationsOf(client, id, item))).toEqual([unauthenticated("expired")]);
    // The download session does not end with it.
    expect((await as(await login("alice")).get(id)).state).toBe("ACTIVE");
  },
};

describe.each(storeKinds)("%s", (kind: StoreKind) => {
  let directory: TempDir;
  let issuer: Issuer;
  let app: TestApp;
  beforeAll(async () => {
    [directory, issuer] = await Promise.all([tempDir(), newIssuer()]);
    const [usersFile, jwtJwks] = [join(directory.path, "users"), join(directory.path, "jwks.json")];
    const users = { alice: "", bob: "", root: "admin" };
    const lines = Object.entries(users).map(([name, role]) => `${name}:${cheapHash(password)}:${role}\n`);
    await writeFile(usersFile, lines.join(""), { mode: 0o600 });
    await writeFile(jwtJwks, JSON.stringify(issuer.jwks));
    const { issuer: jwtIssuer, audience: jwtAudience } = issuer;
    app = await startTestApp({ store: kind, settings: { usersFile, jwtJwks, jwtIssuer, jwtAudience } });
  });
  afterAll(async () => {
    await app.stop();
    await directory.remove();
  });

  describe.each(Object.keys(protocolClients))(`%s → ${kind}`, (name) => {
    test.each(Object.keys(cases))("%s", async (title) => {
      await cases[title]!({
        as: (headers) => protocolClients[name]!(app.url, headers),
        async login(user) {
          const response = await fetch(`${app.url}/api/session`, {
            method: "POST",
            headers: { authorization: basic(user, password) },
          });
          expect(response.status).toBe(201);
          return { "vmware-api-session-id": (await response.json()) as string };
        },
        token: async (claims) => ({ authorization: `Bearer ${await issuer.token(claims)}` }),
        url: app.url,
        item: await app.addItem(),
      });
    });
  });
});
