import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { BearerTokens } from "../../src/auth/bearer-tokens.ts";
import { traceHeadersOf } from "../../src/config/client-settings.ts";
import { S3Bucket } from "../../src/content/s3/bucket.ts";
import { type RecordingServer, startRecordingServer } from "../support/recording-server.ts";
import { s3Credentials } from "../support/s3-server.ts";
import { newIssuer } from "../support/tokens.ts";

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/** Stands in for the services that the service calls; what it answers does not matter. */
let server: RecordingServer;
beforeAll(async () => {
  for (const [name, value] of Object.entries(s3Credentials)) vi.stubEnv(name, value);
  server = await startRecordingServer("HTTP/1.1", (_, response) => {
    response.writeHead(403);
    response.end();
  });
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server?.[Symbol.asyncDispose]();
});

test("requests to S3 continue the trace", async () => {
  const place = { endpoint: `http://${server.address}`, bucket: "bucket", prefix: "" };
  for (const traceHeaders of [() => ({ traceparent }), undefined]) {
    const bucket = new S3Bucket({ ...place, traceHeaders });
    const object = { key: "a", etag: '"b"', size: 1 };
    const requests = [
      () => bucket.list("").next(),
      () => bucket.open(object, { start: 0, end: 0 }, new AbortController().signal),
    ];
    for (const request of requests) {
      const before = server.requests.length;
      await request().catch(() => {});
      expect(server.requests).toHaveLength(before + 1);
      expect(server.requests.at(-1)?.headers.traceparent).toBe(traceHeaders && traceparent);
    }
  }
  expect(server.requests.at(-1)?.headers.authorization).toContain("SignedHeaders=");
});

test("requests for the keys of tokens continue the trace", async () => {
  const issuer = await newIssuer();
  const options = {
    ...{ issuer: "issuer", audience: "audience", algorithms: ["ES256"], types: [], clockToleranceMs: 0 },
    ...{ principalClaim: "sub", roleClaim: "roles", jwks: `http://${server.address}/keys` },
    log: { error() {} },
  };
  const tokens = await BearerTokens.open({ ...options, traceHeaders: () => ({ traceparent }) });
  await expect(tokens.read(`Bearer ${await issuer.token()}`)).rejects.toThrow();
  expect(server.requests.at(-1)).toMatchObject({ url: "/keys", headers: { traceparent } });
});

test.each([
  [{ TRACEPARENT: traceparent }, { traceparent }],
  [
    { TRACEPARENT: traceparent, TRACESTATE: "a=b" },
    { traceparent, tracestate: "a=b" },
  ],
  [{ TRACEPARENT: traceparent, TRACESTATE: "a\r\nb" }, { traceparent }],
  [{ TRACEPARENT: "nonsense", TRACESTATE: "a=b" }, {}],
  [{}, {}],
])("commands pass on %j", (environment, headers) => {
  expect(traceHeadersOf(environment)).toEqual(headers);
});
