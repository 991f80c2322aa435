import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { eventually } from "../support/eventually.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { type Issuer, newIssuer } from "../support/tokens.ts";

const loginPath = "/rest/com/vmware/cis/session";
const sessions = "/rest/com/vmware/content/library/item/download-session";

describe.each(["SQLite", "Redis"])("logging in, %s", (store) => {
  let directory: TempDir;
  let issuer: Issuer;
  /** Two replicas with one store. */
  let replicas: readonly [Service, Service];
  /** One for each test, because failures are counted by name. */
  const names = Array.from({ length: 6 }, () => `user-${crypto.randomUUID()}`);
  let name = "";
  const hash = cheapHash("correct horse");
  const usersPath = () => join(directory.path, "users");
  const writeUsers = (...lines: string[]) => writeFile(usersPath(), lines.join("\n"), { mode: 0o600 });

  beforeAll(async () => {
    [directory, issuer] = await Promise.all([tempDir(), newIssuer()]);
    await writeUsers(...names.map((one) => `${one}:${hash}:`));
    const jwks = join(directory.path, "jwks.json");
    await writeFile(jwks, JSON.stringify(issuer.jwks));
    const args = [
      ...["--users-file", usersPath(), "--login-failures-per-user", "3", "--login-failures-per-address", "0"],
      ...["--jwt-jwks", jwks, "--jwt-issuer", issuer.issuer, "--jwt-audience", issuer.audience],
      ...["--jwt-clock-tolerance-seconds", "0"],
      ...(store === "Redis"
        ? ["--redis-url", sharedRedisUrl()]
        : ["--sqlite-path", join(directory.path, "sessions.db")]),
    ];
    replicas = await Promise.all([startService(args), startService(args)]);
  });
  afterAll(async () => {
    await Promise.all(replicas.map((service) => service.kill()));
    await directory.remove();
  });

  beforeEach(() => {
    name = names.pop()!;
  });

  const logIn = (url: string, password: string, user = name) =>
    fetch(url + loginPath, { method: "POST", headers: { authorization: basic(user, password) } });

  async function loginId(): Promise<string> {
    const { value } = (await (await logIn(replicas[0].url, "correct horse")).json()) as { value: string };
    return value;
  }

  const listWith = (url: string, id: string) =>
    fetch(url + sessions, { headers: { "vmware-api-session-id": id } });

  test("a login session is good on every replica and protocol, until it is closed", async () => {
    const id = await loginId();
    for (const { url } of replicas) expect((await listWith(url, id)).status).toBe(200);
    const headers = { "vmware-api-session-id": id };
    const client = createClient(DownloadSessionService, createGrpcTransport({ baseUrl: replicas[1].url }));
    expect(await client.list({}, { headers })).toMatchObject({ downloadSessionIds: [] });
    const closed = await fetch(replicas[1].url + loginPath, { method: "DELETE", headers });
    expect(closed.status).toBe(200);
    for (const { url } of replicas) {
      await eventually("the end", async () => (await listWith(url, id)).status === 401);
    }
  });

  test("on gRPC takes the same credentials", async () => {
    const client = createClient(SessionService, createGrpcTransport({ baseUrl: replicas[0].url }));
    const headers = { authorization: basic(name, "correct horse") };
    const { sessionId } = await client.create({}, { headers });
    expect((await listWith(replicas[1].url, sessionId)).status).toBe(200);
  });

  test("answers a wrong password and an unknown user alike", async () => {
    const answers = await Promise.all(
      [logIn(replicas[0].url, "wrong"), logIn(replicas[0].url, "wrong", `${name}x`)].map(async (answer) => {
        const response = await answer;
        const challenge = response.headers.get("www-authenticate");
        return { status: response.status, challenge, body: await response.text() };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({
      status: 401,
      challenge: 'Basic realm="downlease", charset="UTF-8", Bearer realm="downlease"',
      body: expect.stringContaining("downlease.authentication.invalid"),
    });
  });

  test("a user with too many failures has to wait, at all replicas and on every protocol", async () => {
    const [one, two] = replicas;
    for (const { url } of [one, two, one]) expect((await logIn(url, "wrong")).status).toBe(401);
    for (const { url } of replicas) {
      const refused = await logIn(url, "correct horse");
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await refused.text()).toContain("downlease.login.too_many_failures");
    }
    const client = createClient(SessionService, createGrpcTransport({ baseUrl: two.url }));
    const error = await client.create({}, { headers: { authorization: basic(name, "correct horse") } }).then(
      () => undefined,
      (reason: unknown) => ConnectError.from(reason),
    );
    expect(error?.code).toBe(Code.ResourceExhausted);
    expect(error?.findDetails(ErrorInfoSchema)).toMatchObject([{ reason: "SERVICE_UNAVAILABLE" }]);
    expect(error?.findDetails(RetryInfoSchema)).toHaveLength(1);
  });

  test("another password ends the login sessions of a user on every replica", async () => {
    const id = await loginId();
    await writeUsers(`${name}:${cheapHash("battery staple")}:`);
    for (const { url } of replicas) {
      await eventually("the end", async () => (await listWith(url, id)).status === 401);
    }
  });

  test("with a token lasts as long as the token", async () => {
    const exp = Math.floor(Date.now() / 1000) + 2;
    const response = await fetch(replicas[0].url + loginPath, {
      method: "POST",
      headers: { authorization: `Bearer ${await issuer.token({ exp })}` },
    });
    const { value } = (await response.json()) as { value: string };
    expect((await listWith(replicas[1].url, value)).status).toBe(200);
    await eventually("the end", async () => {
      const answer = await listWith(replicas[1].url, value);
      return (await answer.text()).includes("downlease.authentication.expired");
    });
  });
});
