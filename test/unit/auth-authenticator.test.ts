import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { noAuthentication } from "../../src/auth/anonymous.ts";
import { Authenticator, type Methods } from "../../src/auth/authenticator.ts";
import { BearerTokens } from "../../src/auth/bearer-tokens.ts";
import type { FailureLimits } from "../../src/auth/password-login.ts";
import { loginOpener } from "../../src/auth/proven-caller.ts";
import { clientAddressFinder } from "../../src/calls/client-address.ts";
import type { Authenticate } from "../../src/calls/pipeline.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import { noRoles, rolesFrom } from "../../src/domain/roles.ts";
import type { Caller } from "../../src/domain/session.ts";
import { basic, callWith, cheapHash, type Shown } from "../support/auth-calls.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryLoginStore } from "../support/memory-login-store.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Issuer, newIssuer } from "../support/tokens.ts";

/** The trusted proxy. */
const proxy = "10.0.0.5";

let issuer: Issuer;
/** Of `alice's password` and of `bob's password`. */
const hashes = [cheapHash("alice's password"), cheapHash("bob's password")] as const;
let directory: TempDir;
let logins: MemoryLoginStore;
const closing: Authenticator[] = [];

beforeAll(async () => {
  issuer = await newIssuer();
});
beforeEach(async () => {
  directory = await tempDir();
  logins = new MemoryLoginStore();
});
afterEach(async () => {
  for (const one of closing.splice(0)) one.close();
  await directory.remove();
});

const usersPath = () => join(directory.path, "users");
const writeUsers = (...lines: string[]) => writeFile(usersPath(), `${lines.join("\n")}\n`, { mode: 0o600 });

async function users(): Promise<Methods> {
  await writeUsers(`alice:${hashes[0]}:admin`, `bob:${hashes[1]}:storage`);
  return { usersFile: usersPath() };
}

async function jwt(): Promise<Methods> {
  const jwks = join(directory.path, "jwks.json");
  await writeFile(jwks, JSON.stringify(issuer.jwks));
  return {
    jwt: {
      jwks,
      issuer: issuer.issuer,
      audience: issuer.audience,
      algorithms: ["ES256"],
      types: [],
      clockToleranceMs: 0,
      principalClaim: "sub",
      roleClaim: "roles",
    },
  };
}

const mtls: Methods = { mtls: { namesByRole: { admin: ["ops"], storage: ["mirror", "ops"] } } };
const admin = rolesFrom(["admin"]);
const storage = rolesFrom(["storage"]);
const both = rolesFrom(["admin", "storage"]);

async function open(methods: Methods, limits: FailureLimits = { perUser: 0, perAddress: 0 }) {
  const log = { warn() {}, error() {} };
  const clientAddressOf = clientAddressFinder((address) => address === proxy);
  const authenticator = await Authenticator.open({
    methods,
    failureLimits: limits,
    logins,
    clientAddressOf,
    log,
    pollMs: 5,
  });
  closing.push(authenticator);
  return authenticator;
}

const outcome = async (authenticate: Authenticate, shown: Shown): Promise<Caller | ServiceError> => {
  try {
    return await authenticate(callWith(shown));
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
};

const refused = (id: string, challenge?: string) => ({
  messageId: `downlease.authentication.${id}`,
  kind: "unauthenticated",
  challenge,
});

const certificate = { isTrusted: true, name: "ops", validUntil: Date.now() + 600_000 };
const session = 'vmware-api-session-id realm="downlease"';
const basicChallenge = 'Basic realm="downlease", charset="UTF-8"';
const bearer = 'Bearer realm="downlease"';
const badBearer = `${bearer}, error="invalid_token"`;

/** Logs in and gives the identifier, as the operation does. */
async function logIn({ login }: Authenticator, shown: Shown): Promise<string> {
  return loginOpener(logins, { loginsPerPrincipal: 0 })(await login(callWith(shown)));
}

test("without authentication every caller is anonymous, at once, with any credentials", () => {
  const open = noAuthentication(true);
  for (const shown of [{}, { authorization: "nonsense", loginId: "x" }, { authorization: basic("a", "b") }]) {
    expect(open.authenticate(callWith(shown))).toMatchObject({
      principal: "anonymous",
      roles: noRoles,
    });
    expect(open.login(callWith(shown))).toMatchObject({
      principal: "anonymous",
      proof: "anonymous",
    });
  }
});

describe("administration", () => {
  const { administrate: local } = noAuthentication(true);
  const { administrate: reachable } = noAuthentication(false);
  const role = { messageId: "downlease.admin.role" };

  test("without authentication programs of this machine and own pages may, other pages may not", async () => {
    for (const shown of [{}, { headers: { host: "localhost", origin: "http://localhost" } }])
      expect(await outcome(local, shown)).toMatchObject({ principal: "anonymous", roles: admin });
    for (const headers of [
      { "sec-fetch-site": "cross-site" },
      { host: "localhost", origin: "http://a.example" },
    ])
      expect(await outcome(local, { headers })).toMatchObject(role);
    expect(await outcome(reachable, {})).toMatchObject(role);
  });

  test.each(["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"])(
    "without authentication nobody may through a proxy that sends %s",
    async (name) => {
      expect(await outcome(local, { headers: { host: "localhost", [name]: "1.1 any" } })).toMatchObject(role);
    },
  );

  test("takes the role admin", async () => {
    const authenticator = await open(await users());
    const [alice, bob] = [
      await logIn(authenticator, { authorization: basic("alice", "alice's password") }),
      await logIn(authenticator, { authorization: basic("bob", "bob's password") }),
    ];
    expect(await outcome(authenticator.administrate, { loginId: alice })).toMatchObject({ roles: admin });
    expect(await outcome(authenticator.administrate, { loginId: bob })).toMatchObject(role);
    expect(await outcome(authenticator.administrate, {})).toMatchObject({
      messageId: "downlease.authentication.required",
    });
  });
});

describe("users of a file", () => {
  test("log in with name and password, and have the roles of the file", async () => {
    const { login } = await open(await users());
    const alice = await outcome(login, { authorization: basic("alice", "alice's password") });
    expect(alice).toMatchObject({ principal: "alice", roles: admin, proof: expect.stringMatching(/^user:/) });
    const bob = await outcome(login, { authorization: basic("bob", "bob's password") });
    expect(bob).toMatchObject({ principal: "bob", roles: storage });
  });

  test.each([
    ["a wrong password", basic("alice", "bob's password")],
    ["an empty password", basic("alice", "")],
    ["an unknown name", basic("carol", "alice's password")],
    ["a name in other letters", basic("Alice", "alice's password")],
    ["malformed Basic credentials", "Basic %%%"],
    ["a NUL", basic("alice", "alice's password\0")],
    ["another scheme", "Digest username=alice"],
    ["a token", "Bearer a.b.c"],
  ])("do not log in with %s, and get no reason", async (_, authorization) => {
    const { login } = await open(await users());
    expect(await outcome(login, { authorization })).toMatchObject(refused("invalid", basicChallenge));
  });

  test("need credentials to log in", async () => {
    const { login } = await open(await users());
    expect(await outcome(login, {})).toMatchObject(refused("required", basicChallenge));
    expect(await outcome(login, { loginId: "any" })).toMatchObject(refused("required", basicChallenge));
  });

  test("of a page that asks for the password itself get no challenge that makes the browser ask", async () => {
    const { login } = await open(await users());
    const headers = { "x-requested-with": "XMLHttpRequest" };
    const session = 'vmware-api-session-id realm="downlease"';
    const authorization = basic("alice", "wrong");
    expect(await outcome(login, { headers, authorization })).toMatchObject(refused("invalid", session));
    expect(await outcome(login, { headers })).toMatchObject(refused("required", session));
  });

  test("can't send their password with other calls, right or wrong", async () => {
    const { authenticate } = await open(await users());
    for (const password of ["alice's password", "wrong"]) {
      expect(await outcome(authenticate, { authorization: basic("alice", password) })).toMatchObject(
        refused("password", session),
      );
    }
  });

  test.each([false, true])(
    "are authenticated by their login session, from a remote store: %j",
    async (isRemote) => {
      logins.isRemote = isRemote;
      const authenticator = await open(await users());
      const loginId = await logIn(authenticator, { authorization: basic("alice", "alice's password") });
      const caller = authenticator.authenticate(callWith({ loginId }));
      expect(caller instanceof Promise).toBe(isRemote);
      expect(await caller).toMatchObject({ principal: "alice", roles: admin });
      await logins.close(loginId);
      expect(await outcome(authenticator.authenticate, { loginId })).toMatchObject(
        refused("expired", session),
      );
    },
  );

  test("have the roles that the file gives them now", async () => {
    const authenticator = await open(await users());
    const loginId = await logIn(authenticator, { authorization: basic("alice", "alice's password") });
    await writeUsers(`alice:${hashes[0]}:`);
    await eventually("the change", async () => {
      return (await authenticator.authenticate(callWith({ loginId }))).roles.size === 0;
    });
  });

  test.each([
    ["gone", () => writeUsers(`bob:${hashes[1]}:`)],
    ["given another password", () => writeUsers(`alice:${hashes[1]}:admin`)],
  ])("are logged out when they are %s", async (_, change) => {
    const authenticator = await open(await users());
    const loginId = await logIn(authenticator, { authorization: basic("alice", "alice's password") });
    await change();
    await eventually("the change", async () => {
      return (await outcome(authenticator.authenticate, { loginId })) instanceof ServiceError;
    });
    expect(await outcome(authenticator.authenticate, { loginId })).toMatchObject(refused("expired", session));
  });

  test("of an empty file let nobody in", async () => {
    await writeUsers("");
    const { login } = await open({ usersFile: usersPath() });
    expect(await outcome(login, { authorization: basic("alice", "") })).toMatchObject(
      refused("invalid", basicChallenge),
    );
  });
});

describe("login sessions", () => {
  test.each(["", "unknown", "0".repeat(32), "x".repeat(10_000), "\0"])(
    "with the made-up identifier %# do not exist",
    async (loginId) => {
      const { authenticate } = await open(await users());
      expect(await outcome(authenticate, { loginId })).toMatchObject(refused("expired", session));
    },
  );

  test.each([
    ["a user who has been removed", "user:abc"],
    ["a token while none are accepted", `token:${Date.now() + 60_000}`],
    ["a certificate while none are accepted", `certificate:${Date.now() + 60_000}`],
    ["nothing, from before authentication was required", "anonymous"],
    ["an empty proof", ""],
  ])("that rest on %s do not count", async (_, proof) => {
    const { authenticate } = await open(await users());
    const loginId = await logins.open({ principal: "alice", roles: admin, proof });
    expect(await outcome(authenticate, { loginId })).toMatchObject(refused("expired", session));
  });

  test("of a token end with it", async () => {
    const authenticator = await open(await jwt());
    const exp = Math.floor(Date.now() / 1000) + 1;
    const token = await issuer.token({ exp, roles: ["admin"] });
    const loginId = await logIn(authenticator, { authorization: `Bearer ${token}` });
    expect(authenticator.authenticate(callWith({ loginId }))).toMatchObject({
      principal: "alice",
      roles: admin,
    });
    await eventually("the end", () => Date.now() >= exp * 1000);
    expect(await outcome(authenticator.authenticate, { loginId })).toMatchObject({
      messageId: "downlease.authentication.expired",
    });
  });

  test.each(["token:soon", "token:", "token:NaN", "certificate:"])(
    "with the proof %j do not count",
    async (proof) => {
      const { authenticate } = await open({ ...(await jwt()), ...mtls });
      const loginId = await logins.open({ principal: "alice", roles: admin, proof });
      expect(await outcome(authenticate, { loginId })).toBeInstanceOf(ServiceError);
    },
  );

  test("of a token keep the right to read storage that it gave", async () => {
    const authenticator = await open(await jwt());
    for (const roles of [[], ["storage"]]) {
      const authorization = `Bearer ${await issuer.token({ roles })}`;
      const loginId = await logIn(authenticator, { authorization });
      expect(authenticator.authenticate(callWith({ loginId }))).toMatchObject({ roles: rolesFrom(roles) });
    }
  });

  test("of a certificate end with it, and have the roles of now", async () => {
    const authenticator = await open(mtls);
    const loginId = await logIn(authenticator, { certificate });
    const proof = expect.stringMatching(/^certificate:\d+$/);
    const now = authenticator.authenticate(callWith({ loginId }));
    expect(now).toEqual({ principal: "ops", roles: both, proof });
    for (const [namesByRole, roles] of [
      [{ admin: [], storage: [] }, noRoles],
      [{ admin: [], storage: ["ops"] }, storage],
      [{ admin: ["ops"], storage: [] }, admin],
    ] as const) {
      const other = await open({ mtls: { namesByRole } });
      expect(other.authenticate(callWith({ loginId }))).toEqual({ principal: "ops", roles, proof });
    }
    const old = await logins.open({ principal: "ops", roles: both, proof: `certificate:${Date.now() - 1}` });
    expect(await outcome(authenticator.authenticate, { loginId: old })).toBeInstanceOf(ServiceError);
  });

  test("that the store can't look up are service_unavailable", async () => {
    const { authenticate } = await open(await users());
    logins.isDown = true;
    expect(await outcome(authenticate, { loginId: "any" })).toMatchObject({ kind: "service_unavailable" });
  });
});

test("a caller that has not logged in opens no login session", async () => {
  const caller = { principal: "alice", roles: admin };
  await expect(loginOpener(logins, { loginsPerPrincipal: 0 })(caller)).rejects.toThrow(TypeError);
  const authenticator = await open(await jwt());
  const loginId = await logIn(authenticator, { authorization: `Bearer ${await issuer.token()}` });
  const loggedIn = await authenticator.authenticate(callWith({ loginId }));
  await expect(loginOpener(logins, { loginsPerPrincipal: 0 })(loggedIn)).rejects.toThrow(TypeError);
});

test("a principal opens a limited number of login sessions a minute", async () => {
  const { login } = await open(mtls);
  const ops = await login(callWith({ certificate }));
  const other = await login(callWith({ certificate: { ...certificate, name: "other" } }));
  const limits = { loginsPerPrincipal: 2 };
  const openLogin = loginOpener(logins, limits);
  for (let count = 0; count < 2; count++) expect(await openLogin(ops)).toEqual(expect.any(String));
  const error: ServiceError = await openLogin(ops).catch((reason) => reason);
  expect(error).toMatchObject({ messageId: "downlease.login.too_many", kind: "too_many_attempts" });
  expect(error.retryAfterSeconds).toBeGreaterThan(0);
  expect(await openLogin(other)).toEqual(expect.any(String));
  limits.loginsPerPrincipal = 100;
  expect(await openLogin(ops)).toEqual(expect.any(String));
  for (let count = 0; count < 5; count++) {
    expect(await loginOpener(logins, { loginsPerPrincipal: 0 })(ops)).toEqual(expect.any(String));
  }
});

describe("tokens and certificates", () => {
  test("a token is good for every call and for logging in", async () => {
    const { authenticate, login } = await open(await jwt());
    const authorization = `Bearer ${await issuer.token({ roles: "admin" })}`;
    const alice = { principal: "alice", roles: admin, proof: expect.stringMatching(/^token:\d+$/) };
    expect(await outcome(authenticate, { authorization })).toEqual(alice);
    expect(authenticate(callWith({ authorization }))).toEqual(alice);
    expect(await outcome(login, { authorization })).toEqual(alice);
  });

  test("a bad token gets the challenge of RFC 6750", async () => {
    const { authenticate, login } = await open({ ...(await users()), ...(await jwt()) });
    const expired = `Bearer ${await issuer.token({ exp: 1 })}`;
    for (const [authorization, id] of [
      ["Bearer a.b.c", "invalid"],
      [expired, "expired"],
    ] as const) {
      expect(await outcome(authenticate, { authorization })).toMatchObject(
        refused(id, `${badBearer}, ${session}`),
      );
      expect(await outcome(login, { authorization })).toMatchObject(
        refused(id, `${basicChallenge}, ${badBearer}`),
      );
    }
    expect(await outcome(authenticate, {})).toMatchObject(refused("required", `${bearer}, ${session}`));
    expect(await outcome(login, {})).toMatchObject(refused("required", `${basicChallenge}, ${bearer}`));
  });

  test("a certificate is good for every call and for logging in", async () => {
    const { authenticate, login } = await open(mtls);
    const ops = { principal: "ops", roles: both, proof: `certificate:${certificate.validUntil}` };
    expect(authenticate(callWith({ certificate }))).toEqual(ops);
    expect(login(callWith({ certificate }))).toEqual(ops);
    for (const [name, roles] of [
      ["carol", noRoles],
      ["mirror", storage],
    ] as const) {
      expect(authenticate(callWith({ certificate: { ...certificate, name } }))).toMatchObject({
        principal: name,
        roles,
      });
    }
  });

  test.each([
    ["is not trusted", { ...certificate, isTrusted: false }, "invalid"],
    ["has no name", { ...certificate, name: undefined }, "invalid"],
    ["has a name that no principal can have", { ...certificate, name: "a\0b" }, "invalid"],
    ["has expired since it was shown", { ...certificate, validUntil: Date.now() - 1 }, "expired"],
    ["does not say when it expires", { ...certificate, validUntil: Number.NaN }, "expired"],
  ])("a certificate that %s proves nothing", async (_, shown, id) => {
    const { authenticate, login } = await open(mtls);
    expect(await outcome(authenticate, { certificate: shown })).toMatchObject(refused(id, session));
    expect(await outcome(login, { certificate: shown })).toMatchObject(refused(id));
  });

  test("a certificate counts only where they are accepted", async () => {
    const { authenticate } = await open(await users());
    expect(await outcome(authenticate, { certificate })).toMatchObject(refused("required", session));
  });
});

describe("of several credentials the first decides", () => {
  test("login session before header before certificate", async () => {
    const authenticator = await open({ ...(await users()), ...(await jwt()), ...mtls });
    const { authenticate, login } = authenticator;
    const authorization = `Bearer ${await issuer.token({ sub: "token" })}`;
    const loginId = await logIn(authenticator, { authorization: basic("bob", "bob's password") });
    const principal = async (shown: Shown) => ((await authenticate(callWith(shown))) as Caller).principal;
    expect(await principal({ loginId, authorization, certificate })).toBe("bob");
    expect(await principal({ authorization, certificate })).toBe("token");
    expect(await principal({ certificate })).toBe("ops");
    expect(await login(callWith({ loginId, authorization, certificate }))).toMatchObject({
      principal: "token",
    });
  });

  test("and is not made good by the others", async () => {
    const { authenticate, login } = await open({ ...(await users()), ...(await jwt()), ...mtls });
    const authorization = `Bearer ${await issuer.token()}`;
    for (const shown of [
      { loginId: "wrong", authorization, certificate },
      { authorization: "Bearer wrong", certificate },
      { authorization: "", certificate },
      { authorization: basic("alice", "alice's password"), certificate },
    ]) {
      expect(await outcome(authenticate, shown)).toBeInstanceOf(ServiceError);
    }
    expect(await outcome(login, { authorization: basic("alice", "wrong"), certificate })).toBeInstanceOf(
      ServiceError,
    );
  });
});

describe("on a page of another origin", () => {
  const headers = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };
  const foreign = (challenge?: string) => refused("foreign_page", challenge);

  test("what a browser adds is as if it was not there", async () => {
    const authenticator = await open({ ...(await users()), ...(await jwt()), ...mtls });
    const { authenticate, login } = authenticator;
    const loginCookie = await logIn(authenticator, { authorization: basic("bob", "bob's password") });
    const authorization = `Bearer ${await issuer.token({ sub: "token" })}`;
    const ambient = { headers, loginCookie, certificate };
    expect(await outcome(authenticate, ambient)).toMatchObject(foreign(`${bearer}, ${session}`));
    expect(await outcome(login, ambient)).toMatchObject(foreign(`${basicChallenge}, ${bearer}`));
    expect(await outcome(authenticate, { headers })).toMatchObject({
      messageId: "downlease.authentication.required",
    });
    for (const way of [authenticate, login]) {
      expect(await outcome(way, { ...ambient, authorization })).toMatchObject({ principal: "token" });
    }
    expect(await outcome(authenticate, { ...ambient, loginId: loginCookie })).toMatchObject({
      principal: "bob",
    });
  });

  test("a password is neither checked nor counted", async () => {
    const { login } = await open(await users(), { perUser: 1, perAddress: 1 });
    const authorization = basic("alice", "alice's password");
    for (let time = 0; time < 3; time++) {
      expect(await outcome(login, { headers, authorization: basic("alice", "wrong") })).toMatchObject(
        foreign(basicChallenge),
      );
      expect(await outcome(login, { headers, authorization })).toMatchObject(foreign(basicChallenge));
    }
    expect(await outcome(login, { authorization })).toMatchObject({ principal: "alice" });
  });
});

describe("too many failures", () => {
  const wrong = { authorization: basic("alice", "wrong") };
  const right = { authorization: basic("alice", "alice's password") };
  const tooMany = { kind: "too_many_attempts", messageId: "downlease.login.too_many_failures" };

  test("of a name make it wait, on every replica, even with the right password", async () => {
    const limits = { perUser: 2, perAddress: 0 };
    const [one, two] = await Promise.all([open(await users(), limits), open(await users(), limits)]);
    expect(await outcome(one.login, { ...wrong, peer: "a" })).toMatchObject(
      refused("invalid", basicChallenge),
    );
    expect(await outcome(two.login, { ...wrong, peer: "b" })).toMatchObject(
      refused("invalid", basicChallenge),
    );
    for (const { login } of [one, two]) {
      const refusal = await outcome(login, { ...right, peer: "c" });
      expect(refusal).toMatchObject(tooMany);
      const { retryAfterSeconds = 0 } = refusal as ServiceError;
      expect(retryAfterSeconds).toBeGreaterThan(0);
      expect(retryAfterSeconds).toBeLessThanOrEqual(60);
    }
    expect(await outcome(one.login, { authorization: basic("bob", "bob's password") })).toMatchObject({
      principal: "bob",
    });
  });

  test("from an address make it wait, with any name", async () => {
    const { login } = await open(await users(), { perUser: 0, perAddress: 2 });
    for (const name of ["x", "y"])
      await outcome(login, { authorization: basic(name, "z"), peer: "2001:db8::1" });
    expect(await outcome(login, { ...right, peer: "2001:db8::2" })).toMatchObject(tooMany);
    expect(await outcome(login, { ...right, peer: "2001:db8:0:1::2" })).toMatchObject({ principal: "alice" });
  });

  test("do not include successes", async () => {
    const { login } = await open(await users(), { perUser: 1, perAddress: 1 });
    for (let count = 0; count < 3; count++)
      expect(await outcome(login, right)).toMatchObject({ principal: "alice" });
    expect([...logins.failures.values()].map(({ count }) => count)).toEqual([0, 0]);
  });

  test("do not include many valid attempts at once", async () => {
    const { login } = await open(await users(), { perUser: 2, perAddress: 2 });
    const callers = await Promise.all(Array.from({ length: 8 }, () => outcome(login, right)));
    expect(callers.filter((caller) => !(caller instanceof ServiceError))).toHaveLength(8);
  });

  test("have no effect without a limit", async () => {
    const { login } = await open(await users());
    logins.isDown = true;
    expect(await outcome(login, wrong)).toMatchObject(refused("invalid", basicChallenge));
  });

  test("can't be avoided while the store can't count: nobody logs in", async () => {
    const { login } = await open(await users(), { perUser: 5, perAddress: 5 });
    logins.isDown = true;
    expect(await outcome(login, right)).toMatchObject({ kind: "service_unavailable" });
  });

  test("from a client behind a trusted proxy are the client's own", async () => {
    const { login } = await open(await users(), { perUser: 0, perAddress: 2 });
    for (const name of ["x", "y", "z"])
      await outcome(login, { authorization: basic(name, "z"), peer: proxy, forwardedFor: "6.6.6.6" });
    const [same, other] = ["1.1.1.1, 6.6.6.6", "203.0.113.9"].map((forwardedFor) =>
      outcome(login, { ...right, peer: proxy, forwardedFor }),
    );
    expect(await same).toMatchObject(tooMany);
    expect(await other).toMatchObject({ principal: "alice" });
  });

  test("above the limit of an address count for no user", async () => {
    const { login } = await open(await users(), { perUser: 2, perAddress: 2 });
    for (let count = 0; count < 4; count++)
      await outcome(login, { authorization: basic(`user-${count}`, "z"), peer: "6.6.6.6" });
    expect([...logins.failures.keys()]).toEqual(["address 6.6.6.6", "user user-0", "user user-1"]);
  });

  test("that can't be checked soon are refused, and the others answered; a fifth is for other addresses", async () => {
    const { login } = await open(await users());
    const from = (peer: string) => outcome(login, { ...wrong, peer });
    const flood = Array.from({ length: 60 }, () => from("6.6.6.6"));
    const others = Array.from({ length: 10 }, (_, count) => from(`192.0.2.${count}`));
    const idsOf = async (outcomes: typeof flood) =>
      (await Promise.all(outcomes)).map((one) => (one as ServiceError).messageId);
    const [flooding, rest] = await Promise.all([idsOf(flood), idsOf(others)]);
    const count = (ids: string[], id: string) => ids.filter((one) => one === `downlease.${id}`).length;
    expect([count(flooding, "authentication.invalid"), count(flooding, "login.overloaded")]).toEqual([
      27, 33,
    ]);
    expect([count(rest, "authentication.invalid"), count(rest, "login.overloaded")]).toEqual([7, 3]);
    expect(await flood.at(-1)).toMatchObject({ retryAfterSeconds: 1 });
  });

  test("of an address that floods delay those of others by a turn, not by all of its own", async () => {
    const { login } = await open(await users());
    let answered = 0;
    const flood = Array.from({ length: 27 }, async () => {
      await outcome(login, { ...wrong, peer: "6.6.6.6" });
      answered++;
    });
    expect(await outcome(login, right)).toMatchObject({ principal: "alice" });
    expect(answered).toBeLessThan(10);
    await Promise.all(flood);
    expect(await outcome(login, { ...right, peer: "6.6.6.6" })).toMatchObject({ principal: "alice" });
  });

  test("the password of a caller that has gone away is not checked", async () => {
    const { login } = await open(await users(), { perUser: 5, perAddress: 5 });
    const call = callWith(wrong);
    call.abortedWith = "downlease.call.canceled";
    await expect(login(call)).rejects.toMatchObject({ messageId: "downlease.call.canceled" });
    expect(logins.failures.size).toBe(0);
  });
});

test.each([
  ["users", { usersFile: "/nowhere/users" }, /the users file \/nowhere\/users can't be used: ENOENT/],
  [
    "keys",
    async () => ({ jwt: { ...(await jwt()).jwt!, jwks: "/nowhere/jwks" } }),
    /the keys in \/nowhere\/jwks can't be used: ENOENT/,
  ],
] as const)(
  "a file of %s that can't be used keeps the service from starting",
  async (_, methods, message) => {
    await expect(open(typeof methods === "function" ? await methods() : methods)).rejects.toThrow(message);
  },
);

test("a file that can't be used ends the watch of those that were opened before it", async () => {
  const close = vi.spyOn(BearerTokens.prototype, "close");
  await expect(open({ ...(await jwt()), usersFile: "/nowhere/users" })).rejects.toThrow("/nowhere/users");
  expect(close).toHaveBeenCalledOnce();
  close.mockRestore();
});
