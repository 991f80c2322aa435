import { Agent, request } from "node:http";
import { connect } from "node:http2";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Admission } from "../../src/calls/admission.ts";
import type { CallRecord } from "../../src/calls/call.ts";
import { type HttpHandler, pathOf } from "../../src/calls/http.ts";
import { type Authenticate, CallPipeline } from "../../src/calls/pipeline.ts";
import { ShareHolders } from "../../src/calls/share-holders.ts";
import { ServiceError } from "../../src/domain/errors.ts";
import type { SessionStore } from "../../src/domain/session-store.ts";
import { downloadSessionOperations } from "../../src/operations/download-session.ts";
import { jsonRpcHandler } from "../../src/protocols/vapi/json-rpc/handler.ts";
import { Server } from "../../src/server/server.ts";
import { eventually } from "../support/eventually.ts";
import { invocation, postOverHttp1 } from "../support/json-rpc.ts";

let server: Server;
let url: string;
let records: CallRecord[];
/** Authenticates a call; there is no store, so every call ends here. */
let authenticate: Authenticate;
let maxCalls: Admission;
const agent = new Agent({ keepAlive: true, maxSockets: 100 });
const whole = JSON.stringify(invocation("get", { download_session_id: "x" }));

beforeEach(async () => {
  records = [];
  authenticate = () => {
    throw new ServiceError("downlease.store.unavailable");
  };
  maxCalls = new Admission(2);
  const observe = (record: CallRecord) => void records.push(record);
  const pipeline = new CallPipeline({
    operations: downloadSessionOperations({ store: {} as SessionStore, content: {} as never }),
    authenticate: (call) => authenticate(call),
    admission: maxCalls,
    streams: new ShareHolders(10),
    strangers: new ShareHolders(10),
    clientAddressOf: ({ connection }) => connection.peer,
    observe,
  });
  const { serve } = jsonRpcHandler({ pipeline, maxBodyBytes: 2000, observe });
  const handler: HttpHandler = (request, response) => serve(request, response, pathOf(request));
  server = new Server({ handler, host: "127.0.0.1", port: 0 });
  url = `http://127.0.0.1:${(await server.listen()).port}`;
});
afterEach(async () => {
  agent.destroy();
  await server.close(AbortSignal.abort());
});

const seen = () =>
  records.map(({ call, operation, outcome }) => [call.protocol, operation, outcome, call.requestId]);

describe("each request is recorded once", () => {
  const headers = { "x-request-id": "r" };
  test.each([
    ["an operation", whole, "DownloadSession.Get", "service_unavailable"],
    ["an unknown operation", whole.replace('"get"', '"complete"'), "unknown", "unknown_operation"],
    ["an unknown service", whole.replace("com.vmware", "org"), "unknown", "unknown_operation"],
    ["no JSON", "{", "unknown", "invalid_request"],
    ["a batch", "[]", "unknown", "invalid_request"],
    ["another method", whole.replace("invoke", "x"), "unknown", "invalid_request"],
    ["too large", " ".repeat(2001), "unknown", "body_too_large"],
  ])("%s", async (_, body, operation, outcome) => {
    const { status } = await postOverHttp1(url, agent)(body, headers);
    expect(status).toBe(200);
    expect(seen()).toEqual([["json_rpc", operation, outcome, "r"]]);
  });

  test("an internal error is reported without its text", async () => {
    authenticate = () => {
      throw new Error("the text of a driver");
    };
    const { text } = await postOverHttp1(url, agent)(whole, headers);
    expect(text).toContain("com.vmware.vapi.std.errors.internal_server_error");
    expect(text).not.toContain("driver");
    expect(seen()).toEqual([["json_rpc", "DownloadSession.Get", "internal_server_error", "r"]]);
  });

  test("a client that goes away before its request is complete", async () => {
    const sent = request(`${url}/api`, { method: "POST", headers: { ...headers, "content-length": "9" } });
    sent.on("error", () => {});
    sent.write("{", () => sent.destroy());
    await eventually("the call to be recorded", () => records.length > 0);
    expect(seen()).toEqual([["json_rpc", "unknown", "canceled", "r"]]);
  });
});

describe("a call ends when its client goes away", () => {
  beforeEach(() => {
    authenticate = () => new Promise(() => {});
  });
  /** Waits until the pipeline has the call. */
  const begun = () => eventually("the call to be in flight", () => maxCalls.load === 1);

  test("over HTTP/1.1", async () => {
    const sent = request(`${url}/api`, { method: "POST", headers: { "x-request-id": "r" } });
    sent.on("error", () => {});
    sent.end(whole);
    await begun();
    // Half a close would only mean that the client has nothing more to send.
    sent.socket?.resetAndDestroy();
    await eventually("the call to end", () => maxCalls.load === 0);
    expect(seen()).toEqual([["json_rpc", "DownloadSession.Get", "canceled", "r"]]);
  });

  test("over HTTP/2", async () => {
    const session = connect(url);
    const stream = session.request({ ":method": "POST", ":path": "/api", "x-request-id": "r" });
    stream.on("error", () => {});
    stream.end(whole);
    await begun();
    stream.close(8);
    await eventually("the call to end", () => maxCalls.load === 0);
    session.close();
    expect(seen()).toEqual([["json_rpc", "DownloadSession.Get", "canceled", "r"]]);
  });
});

test("overload is a result that says when to retry", async () => {
  authenticate = () => new Promise(() => {});
  const stuck = [1, 2].map(() => postOverHttp1(url, agent)(whole).catch(() => {}));
  await eventually("the calls to be in flight", () => maxCalls.load === 2);
  const { status, headers, text } = await postOverHttp1(url, agent)(whole);
  expect([status, headers["retry-after"], headers["vapi-error"]]).toEqual([
    200,
    "1",
    "com.vmware.vapi.std.errors.service_unavailable",
  ]);
  expect(text).toContain("downlease.server.overloaded");
  await server.close(AbortSignal.abort());
  await Promise.all(stuck);
});
