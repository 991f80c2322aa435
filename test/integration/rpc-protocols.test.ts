import type { JsonObject } from "@bufbuild/protobuf";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Call, throughConnectEs, throughFetch, throughGrpcJs } from "../support/rpc-callers.ts";
import { itemId, lanes, type RpcService, startRpcService } from "../support/rpc-service.ts";

describe.each(lanes)("$lane", ({ fastLane }) => {
  let service: RpcService;
  beforeAll(async () => {
    service = await startRpcService({ fastLane });
  });
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
  });

  const clients: Record<string, { readonly protocol: string; readonly call: Call }> = {
    "gRPC, grpc-js": { protocol: "grpc", call: throughGrpcJs(() => service.http2Url) },
    "gRPC, Connect-ES": {
      protocol: "grpc",
      call: throughConnectEs(() => createGrpcTransport({ baseUrl: service.http2Url })),
    },
    "gRPC-Web, HTTP/1.1": {
      protocol: "grpc_web",
      call: throughConnectEs(() => createGrpcWebTransport({ baseUrl: service.http1Url, httpVersion: "1.1" })),
    },
    "gRPC-Web, HTTP/2": {
      protocol: "grpc_web",
      call: throughConnectEs(() => createGrpcWebTransport({ baseUrl: service.http2Url, httpVersion: "2" })),
    },
    "Connect proto, HTTP/1.1": {
      protocol: "connect",
      call: throughConnectEs(() =>
        createConnectTransport({ baseUrl: service.http1Url, httpVersion: "1.1", useBinaryFormat: true }),
      ),
    },
    "Connect JSON, HTTP/2": {
      protocol: "connect",
      call: throughConnectEs(() =>
        createConnectTransport({ baseUrl: service.http2Url, httpVersion: "2", useBinaryFormat: false }),
      ),
    },
    "Connect JSON, fetch": { protocol: "connect", call: throughFetch(() => service.http1Url) },
  };

  const newSession = async (call: Call): Promise<string> => {
    const outcome = await call("Create", { createSpec: { libraryItemId: itemId } });
    if (!("ok" in outcome)) throw new Error(`no session: ${outcome.message}`);
    return String(outcome.ok.downloadSessionId);
  };

  describe.each(Object.entries(clients))("%s", (_, { protocol: protocolName, call }) => {
    test("the life cycle of a session", async () => {
      const downloadSessionId = await newSession(call);
      expect(await call("KeepAlive", { downloadSessionId, progress: "40" })).toMatchObject({
        ok: { clientProgress: "40", expirationTime: expect.anything() },
      });
      expect(await call("KeepAlive", { downloadSessionId, progress: "30" })).toMatchObject({
        ok: { clientProgress: "40" },
      });
      expect(await call("Get", { downloadSessionId })).toMatchObject({
        ok: {
          downloadSession: {
            libraryItemId: itemId,
            libraryItemContentVersion: "7",
            clientProgress: "40",
            state: "STATE_ACTIVE",
            expirationTime: expect.anything(),
          },
        },
      });
      expect(await call("List", { libraryItemId: itemId })).toMatchObject({
        ok: { downloadSessionIds: expect.arrayContaining([downloadSessionId]) },
      });
      expect(await call("Fail", { downloadSessionId, clientErrorMessage: "désolé" })).toMatchObject({
        ok: {},
      });
      expect(await call("Get", { downloadSessionId })).toMatchObject({
        ok: { downloadSession: { state: "STATE_ERROR", errorMessage: { defaultMessage: "désolé" } } },
      });
      expect(await call("Delete", { downloadSessionId })).toMatchObject({ ok: {} });
      expect(await call("Get", { downloadSessionId })).toMatchObject({ code: "not_found" });
    });

    const errors: [
      what: string,
      method: string,
      request: JsonObject,
      code: string,
      reason: string,
      id: string,
    ][] = [
      [
        "an unknown session",
        "Get",
        { downloadSessionId: "nöwhere 🎈" },
        "not_found",
        "NOT_FOUND",
        "session.not_found",
      ],
      [
        "an unknown item",
        "Create",
        { createSpec: { libraryItemId: "x" } },
        "not_found",
        "NOT_FOUND",
        "item.not_found",
      ],
      ["no item", "Create", {}, "invalid_argument", "INVALID_ARGUMENT", "argument.missing"],
      ["no id", "KeepAlive", {}, "invalid_argument", "INVALID_ARGUMENT", "argument.missing"],
      [
        "a bad id",
        "Cancel",
        { downloadSessionId: "a\u0000" },
        "invalid_argument",
        "INVALID_ARGUMENT",
        "argument.identifier",
      ],
      [
        "a dead store",
        "Get",
        { downloadSessionId: "unavailable" },
        "unavailable",
        "SERVICE_UNAVAILABLE",
        "store.unavailable",
      ],
      [
        "a bug",
        "Get",
        { downloadSessionId: "broken" },
        "internal",
        "INTERNAL_SERVER_ERROR",
        "server.internal",
      ],
    ];
    test.each(errors)("%s: %s of %j is %s %s %s", async (_what, method, request, code, reason, id) => {
      const outcome = await call(method, request, "request-7");
      expect(outcome).toMatchObject({
        code,
        requestId: "request-7",
        info: { reason, domain: "com.vmware.vapi.std.errors", metadata: { message_id: `downlease.${id}` } },
      });
      expect(JSON.stringify(outcome)).not.toMatch(/driver|\.ts/);
    });

    test("an error names the session with any characters", async () => {
      const outcome = await call("Get", { downloadSessionId: "nöwhere 🎈, 100 %" });
      expect(outcome).toMatchObject({
        message:
          "Download session 'nöwhere 🎈, 100 %' does not exist or has expired. Create a new session for the item.",
        info: { metadata: { arg0: "nöwhere 🎈, 100 %" } },
      });
    });

    test("progress of a canceled session is FAILED_PRECONDITION, out of range INVALID_ARGUMENT", async () => {
      const downloadSessionId = await newSession(call);
      expect(await call("KeepAlive", { downloadSessionId, progress: "101" })).toMatchObject({
        code: "invalid_argument",
        info: { metadata: { message_id: "downlease.argument.progress", arg0: downloadSessionId } },
      });
      await call("Cancel", { downloadSessionId });
      expect(await call("KeepAlive", { downloadSessionId, progress: "50" })).toMatchObject({
        code: "failed_precondition",
        message: `Download session '${downloadSessionId}' is CANCELED, not ACTIVE. Create a new session to continue.`,
        info: { reason: "NOT_ALLOWED_IN_CURRENT_STATE", metadata: { arg1: "CANCELED" } },
      });
    });

    test("the request id is the caller's, or a new one when that is missing or not usable", async () => {
      expect(await call("List", {}, "abc-123")).toMatchObject({ ok: {}, requestId: "abc-123" });
      expect(service.records.at(-1)).toMatchObject({
        call: { protocol: protocolName, requestId: "abc-123", connection: { peer: "127.0.0.1" } },
        operation: "DownloadSession.List",
        outcome: "ok",
      });
      const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
      expect(await call("List", {})).toMatchObject({ requestId: uuid });
      expect(await call("List", {}, "x".repeat(200))).toMatchObject({ requestId: uuid });
    });

    test("a message above the limit is RESOURCE_EXHAUSTED", async () => {
      const downloadSessionId = await newSession(call);
      const outcome = await call("Fail", { downloadSessionId, clientErrorMessage: "x".repeat(5000) });
      expect(outcome).toMatchObject({ code: "resource_exhausted" });
      // Such a request never becomes a call; operators must see it nevertheless.
      await eventually("the refusal to be recorded", () => {
        expect(service.records.at(-1)).toMatchObject({
          call: { protocol: protocolName, connection: { peer: "127.0.0.1" } },
          operation: "DownloadSession.Fail",
          outcome: "invalid_request",
        });
        return true;
      });
      expect(await call("KeepAlive", { downloadSessionId })).toMatchObject({ ok: {} });
    });
  });
});
