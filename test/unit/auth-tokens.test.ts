import { createHmac, createPublicKey } from "node:crypto";
import { rename, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { exportSPKI } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BearerTokens, type JwtOptions } from "../../src/auth/bearer-tokens.ts";
import { noRoles, rolesFrom } from "../../src/domain/roles.ts";
import { eventually } from "../support/eventually.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Issuer, newIssuer } from "../support/tokens.ts";

let issuer: Issuer;
let directory: TempDir;
const errors: string[] = [];
const closing: { close(): void }[] = [];

beforeAll(async () => {
  issuer = await newIssuer();
});
beforeEach(async () => {
  directory = await tempDir();
  errors.length = 0;
});
afterEach(async () => {
  for (const one of closing.splice(0)) one.close();
  await directory.remove();
});

async function open(options: Partial<JwtOptions> = {}): Promise<BearerTokens> {
  const jwks = join(directory.path, "jwks.json");
  if (options.jwks === undefined) await writeFile(jwks, JSON.stringify(issuer.jwks));
  const tokens = await BearerTokens.open({
    jwks,
    issuer: issuer.issuer,
    audience: issuer.audience,
    algorithms: ["RS256", "ES256", "EdDSA"],
    types: [],
    clockToleranceMs: 5000,
    principalClaim: "sub",
    roleClaim: "roles",
    log: { error: (message) => void errors.push(message) },
    pollMs: 5,
    ...options,
  });
  closing.push(tokens);
  return tokens;
}

const now = () => Math.floor(Date.now() / 1000);
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("a good token", () => {
  test("proves its subject until it expires, within the tolerance", async () => {
    const exp = now() + 60;
    const validUntil = exp * 1000 + 5000;
    expect(await (await open()).read(`Bearer ${await issuer.token({ exp })}`)).toEqual({
      caller: { principal: "alice", roles: noRoles, proof: `token:${validUntil}` },
      validUntil,
    });
  });

  test("is verified once, and then accepted without a promise", async () => {
    const tokens = await open();
    const authorization = `bearer  ${await issuer.token()}`;
    const first = tokens.read(authorization);
    expect(first).toBeInstanceOf(Promise);
    expect(tokens.read(authorization)).toBeInstanceOf(Promise);
    expect(tokens.read(`${authorization} `)).toBeInstanceOf(Promise);
    await first;
    expect(tokens.read(authorization)).toBe(await first);
  });

  test("that was verified expires nevertheless", async () => {
    const tokens = await open({ clockToleranceMs: 0 });
    const authorization = `Bearer ${await issuer.token({ exp: now() + 1 })}`;
    expect(await tokens.read(authorization)).toMatchObject({ caller: { principal: "alice" } });
    await eventually("the end", () => tokens.read(authorization) === "expired");
    expect(await tokens.read(authorization)).toBe("expired");
  });

  test.each([
    [["admin"], ["admin"]],
    [["user", "admin"], ["admin"]],
    ["user admin", ["admin"]],
    [["storage"], ["storage"]],
    ["user storage", ["storage"]],
    ["storage admin", ["admin", "storage"]],
    ["administrator", []],
    ["storages Storage", []],
    [["user"], []],
    [[["admin"], ["storage"]], []],
    [{ admin: true, storage: true }, []],
    [true, []],
    [null, []],
  ])("with roles %j has the roles %j", async (roles, names) => {
    expect(await (await open()).read(`Bearer ${await issuer.token({ roles })}`)).toMatchObject({
      caller: { roles: rolesFrom(names) },
    });
  });

  test("may name principal and roles by other claims", async () => {
    const tokens = await open({ principalClaim: "https://x/name", roleClaim: "groups" });
    const token = await issuer.token({ "https://x/name": "bob", groups: ["admin"], roles: [] });
    expect(await tokens.read(`Bearer ${token}`)).toMatchObject({
      caller: { principal: "bob", roles: rolesFrom(["admin"]) },
    });
  });

  test("may have the types of access tokens, or those that are accepted", async () => {
    const typed = async (typ?: string) => `Bearer ${await issuer.token({}, { typ } as object)}`;
    for (const typ of [undefined, "JWT", "jwt", "at+jwt", "application/at+JWT"]) {
      expect(await (await open()).read(await typed(typ))).toMatchObject({ caller: { principal: "alice" } });
    }
    const tokens = await open({ types: ["at+jwt", "Custom"] });
    for (const typ of ["AT+jwt", "application/custom"]) {
      expect(await tokens.read(await typed(typ))).toMatchObject({ caller: { principal: "alice" } });
    }
  });

  test("may be for several audiences, and a little early or late", async () => {
    const tokens = await open();
    for (const claims of [{ aud: ["other", "downlease"] }, { nbf: now() + 3 }, { exp: now() - 3 }]) {
      expect(await tokens.read(`Bearer ${await issuer.token(claims)}`)).toMatchObject({
        caller: { principal: "alice" },
      });
    }
  });
});

describe("a bad token", () => {
  test.each([
    ["of another issuer", { iss: "https://other.example" }],
    ["of no issuer", { iss: undefined }],
    ["for another audience", { aud: "other" }],
    ["for no audience", { aud: undefined }],
    ["without an end", { exp: undefined }],
    ["with an end that is no number", { exp: "never" }],
    ["from the future", { nbf: Math.floor(Date.now() / 1000) + 600 }],
    ["without a subject", { sub: undefined }],
    ["with an empty subject", { sub: "" }],
    ["with a subject that is no text", { sub: 7 }],
    ["with a line break in its subject", { sub: "ali\nce" }],
    ["with a very long subject", { sub: "x".repeat(257) }],
  ])("%s proves nothing", async (_, claims) => {
    expect(await (await open()).read(`Bearer ${await issuer.token(claims)}`)).toBe("invalid");
  });

  test.each(["logout+jwt", "dpop+jwt", "application/secevent+jwt", "x/jwt", 7, [["JWT"]], null])(
    "of the type %j proves nothing",
    async (typ) => {
      const token = await issuer.token({}, { typ } as object);
      expect(await (await open()).read(`Bearer ${token}`)).toBe("invalid");
    },
  );

  test("of another type than those that are accepted, or without one, proves nothing", async () => {
    const tokens = await open({ types: ["at+jwt", "Custom"] });
    for (const typ of ["JWT", "x-custom", undefined]) {
      expect(await tokens.read(`Bearer ${await issuer.token({}, { typ } as object)}`)).toBe("invalid");
    }
  });

  test("that has expired is reported as expired", async () => {
    const token = await issuer.token({ exp: now() - 10 });
    expect(await (await open()).read(`Bearer ${token}`)).toBe("expired");
  });

  test("of another key with the same name, or of a key that is not known, proves nothing", async () => {
    const tokens = await open();
    const [{ kid }] = issuer.jwks.keys as [{ kid: string }];
    expect(await tokens.read(`Bearer ${await (await newIssuer("ES256", kid)).token()}`)).toBe("invalid");
    expect(await tokens.read(`Bearer ${await (await newIssuer("ES256")).token()}`)).toBe("invalid");
    expect(await tokens.read(`Bearer ${await (await newIssuer("RS256", kid)).token()}`)).toBe("invalid");
  });

  test("of an algorithm that is not accepted proves nothing, even with a good signature", async () => {
    const tokens = await open({ algorithms: ["RS256"] });
    expect(await tokens.read(`Bearer ${await issuer.token()}`)).toBe("invalid");
  });

  test("without a signature proves nothing", async () => {
    const tokens = await open();
    const [header = "", payload = ""] = (await issuer.token()).split(".");
    for (const alg of ["none", "None", "NONE", ""]) {
      expect(await tokens.read(`Bearer ${encode({ alg })}.${payload}.`)).toBe("invalid");
    }
    expect(await tokens.read(`Bearer ${header}.${payload}.`)).toBe("invalid");
    expect(await tokens.read(`Bearer ${header}.${payload}`)).toBe("invalid");
  });

  test("signed with the public key as if it were a shared secret proves nothing", async () => {
    const [, payload] = (await issuer.token()).split(".");
    const [jwk] = issuer.jwks.keys as [{ kid: string }];
    const secrets = [
      await exportSPKI(issuer.publicKey),
      createPublicKey({ key: jwk as never, format: "jwk" }).export({ type: "spki", format: "der" }),
      JSON.stringify(jwk),
    ];
    for (const secret of secrets) {
      const signed = `${encode({ alg: "HS256", kid: jwk.kid })}.${payload}`;
      const signature = createHmac("sha256", secret).update(signed).digest("base64url");
      expect(await (await open()).read(`Bearer ${signed}.${signature}`)).toBe("invalid");
    }
  });

  test("that brings its own key proves nothing", async () => {
    const stranger = await newIssuer();
    const token = await stranger.token({}, { jwk: stranger.jwks.keys[0], jku: "https://x" } as never);
    expect(await (await open()).read(`Bearer ${token}`)).toBe("invalid");
  });

  test.each([
    "Bearer",
    "Bearer ",
    "Bearer a.b.c",
    "Bearer ....",
    "Bearer a b",
    "Bearer \0",
    "Bearer é.é.é",
    `Bearer ${"a".repeat(20_000)}`,
    `Bearer ${"a.".repeat(5000)}`,
    "Digest username=alice",
    "",
  ])("number %# of the malformed proves nothing", async (authorization) => {
    expect(await (await open()).read(authorization)).toBe("invalid");
  });

  test("that is well-formed but huge proves nothing", async () => {
    const token = await issuer.token({ padding: "x".repeat(12_000) });
    expect(await (await open()).read(`Bearer ${token}`)).toBe("invalid");
  });
});

describe("keys in a file", () => {
  test("are read again when it changes; a broken file keeps the previous keys", async () => {
    const tokens = await open();
    const path = join(directory.path, "jwks.json");
    const next = await newIssuer("EdDSA");
    // In one step: half a file would be another error.
    await writeFile(`${path}.1`, "{");
    await rename(`${path}.1`, path);
    await eventually("the error", () => errors.length > 0);
    expect(await tokens.read(`Bearer ${await issuer.token()}`)).toMatchObject({ caller: {} });
    await writeFile(`${path}.2`, JSON.stringify(next.jwks));
    await rename(`${path}.2`, path);
    await eventually("the new key", async () => {
      return typeof (await tokens.read(`Bearer ${await next.token()}`)) === "object";
    });
    expect(await tokens.read(`Bearer ${await issuer.token()}`)).toBe("invalid");
    expect(errors).toHaveLength(1);
  });

  test.each(["", "[]", "{}", '{"keys": 7}', "no JSON"])(
    "that say %j are refused at the start",
    async (text) => {
      const jwks = join(directory.path, "bad.json");
      await writeFile(jwks, text);
      await expect(open({ jwks })).rejects.toThrow();
    },
  );
});

describe("keys at a URL", () => {
  let server: Server | undefined;
  afterEach(() => server?.close());

  async function serve(answer: () => { status: number; body: string }): Promise<string> {
    server = createServer((_, response) => {
      const { status, body } = answer();
      response.writeHead(status).end(body);
    }).listen(0, "127.0.0.1");
    await eventually("the server", () => server?.address());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  }

  test("are fetched with the first token, and not for each", async () => {
    let fetches = 0;
    const jwks = await serve(() => {
      fetches++;
      return { status: 200, body: JSON.stringify(issuer.jwks) };
    });
    const tokens = await open({ jwks });
    expect(fetches).toBe(0);
    for (let count = 0; count < 3; count++) {
      const token = await issuer.token({ jti: String(count) });
      expect(await tokens.read(`Bearer ${token}`)).toMatchObject({ caller: { principal: "alice" } });
    }
    expect(await tokens.read(`Bearer ${await (await newIssuer()).token()}`)).toBe("invalid");
    expect(fetches).toBe(1);
  });

  test.each([
    ["answers with an error", { status: 500, body: "" }],
    ["answers with something that is not JSON", { status: 200, body: "<html>" }],
    ["answers with something that is not a key set", { status: 200, body: "{}" }],
    ["answers without end", { status: 200, body: `{"keys":[]${" ".repeat(2 ** 20)}}` }],
  ])("that %s make the service unavailable, logged once", async (_, answer) => {
    let isDown = true;
    const jwks = await serve(() => (isDown ? answer : { status: 200, body: JSON.stringify(issuer.jwks) }));
    const tokens = await open({ jwks });
    const authorization = `Bearer ${await issuer.token()}`;
    for (let count = 0; count < 2; count++) {
      await expect(tokens.read(authorization)).rejects.toMatchObject({
        messageId: "downlease.authentication.keys_unavailable",
        kind: "service_unavailable",
      });
    }
    expect(errors).toEqual([expect.stringMatching(/^the token signing keys are unavailable: /)]);
    isDown = false;
    expect(await tokens.read(authorization)).toMatchObject({ caller: { principal: "alice" } });
  });

  test("where nobody listens make the service unavailable", async () => {
    const jwks = await serve(() => ({ status: 200, body: "" }));
    server?.close();
    const tokens = await open({ jwks });
    await expect(tokens.read(`Bearer ${await issuer.token()}`)).rejects.toMatchObject({
      kind: "service_unavailable",
    });
    expect(errors).toEqual([expect.stringMatching(/ECONNREFUSED/)]);
  });
});
