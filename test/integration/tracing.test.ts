import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AdminService } from "../../gen/downlease/admin/v1/admin_pb.ts";
import { mainPath, runCommand, runProgram } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/otlp-receiver.ts";
import { protocolClients, Refused } from "../support/protocol-clients.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let receiver: OtlpReceiver;
let services: Record<"SQLite" | "Redis", Service>;
let directory: TempDir;
beforeAll(async () => {
  [receiver, directory] = await Promise.all([startOtlpReceiver(), tempDir()]);
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_BSP_SCHEDULE_DELAY: "5",
    OTEL_SERVICE_NAME: "lab",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
  };
  const [SQLite, Redis] = await Promise.all([
    startService([], { ...env, NODE_OPTIONS: await printLoads() }, mainPath),
    startService(["--redis-url", sharedRedisUrl(), "--fast-lane", "off"], env),
  ]);
  services = { SQLite, Redis };
});
afterAll(async () => {
  await Promise.all(Object.values(services ?? {}).map((service) => service.kill()));
  receiver?.[Symbol.dispose]();
  await directory?.remove();
});

/** An option of Node.js that runs code whenever the program loads a module. */
async function onResolve(name: string, code: string): Promise<string> {
  const path = join(directory.path, `${name}.mjs`);
  const text = `import { registerHooks } from "node:module";
    registerHooks({ resolve(specifier, context, next) { ${code} return next(specifier, context); } });`;
  await writeFile(path, text);
  return `--import=${path}`;
}

/** Prints the packages of OpenTelemetry that the program loads; other packages may load its API. */
const printLoads = () =>
  onResolve(
    "print",
    `if (specifier.startsWith("@opentelemetry/") && !context.parentURL.includes("/node_modules/"))
       process.stderr.write("loads " + specifier + "\\n");`,
  );

/** The headers of a caller that has begun a trace. */
function beginTrace(isSampled = true) {
  const [traceId, parentId] = [randomBytes(16).toString("hex"), randomBytes(8).toString("hex")];
  const traceparent = `00-${traceId}-${parentId}-${isSampled ? "01" : "00"}`;
  return { traceId, parentId, headers: { traceparent, tracestate: "vendor=a" } };
}

const spansOf = (traceId: string) => receiver.spans.filter((span) => span.traceId === traceId);

/** Waits for the span of a request; resolves with it and with the spans of its parts. */
async function received(traceId: string, parentId: string) {
  const server = await eventually(`the spans of ${traceId}`, () =>
    spansOf(traceId).find((span) => span.parentId === parentId),
  );
  return { server, parts: spansOf(traceId).filter((span) => span.parentId === server.spanId) };
}

const namesOf = (spans: readonly ReceivedSpan[]) => spans.map(({ name }) => name);

async function call({ url }: Service, path: string, body?: object, headers: Record<string, string> = {}) {
  const options = body && { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(`${url}/api/content/library${path}`, {
    ...options,
    headers: { "content-type": "application/json", ...headers },
  });
  return (await answer.text()) || "null";
}

/** An item of the example library. */
async function itemOf(service: Service): Promise<string> {
  const [library] = JSON.parse(await call(service, ""));
  return JSON.parse(await call(service, `/item?library_id=${library}`))[0];
}

const stores = {
  SQLite: {
    system: "sqlite",
    create: "sessions.create",
    read: "sessions.get",
    record: "sessionFiles.recordSent",
  },
  Redis: { system: "redis", create: "createSession-1", read: "readSession-1", record: "recordSent-1" },
} as const;

describe.each(["SQLite", "Redis"] as const)("on %s", (store) => {
  const { system, create, read, record } = stores[store];

  test.each(Object.keys(protocolClients))("a call continues the trace of its caller: %s", async (name) => {
    const service = services[store];
    const { traceId, parentId, headers } = beginTrace();
    const id = await protocolClients[name]!(service.url, headers).create(await itemOf(service));
    const { server, parts } = await received(traceId, parentId);
    const isRest = /^(REST|\/api)/.test(name);
    expect(server).toMatchObject({
      name: expect.stringMatching(isRest ? /^POST \/.*download-session/ : /DownloadSessionService\/Create$/),
      ...{ kind: 2, status: 0, traceState: "vendor=a" },
      resource: { "service.name": "lab", "deployment.environment.name": "test" },
      attributes: {
        "client.address": "127.0.0.1",
        "rpc.method": "content.library.item.v1.DownloadSessionService/Create",
        [isRest ? "http.route" : "rpc.system.name"]: expect.any(String),
      },
    });
    expect(namesOf(parts)).toEqual(expect.arrayContaining(["content.item", create]));
    const ofStore = parts.find((part) => part.name === create);
    expect(ofStore).toMatchObject({ kind: 3, attributes: { "db.system.name": system } });
    expect(JSON.stringify(spansOf(traceId))).not.toContain(id);
  });

  test("a call that is refused has its error, and its log line the trace", async () => {
    const { traceId, parentId, headers } = beginTrace();
    await expect(protocolClients.gRPC!(services[store].url, headers).get("none")).rejects.toThrow(Refused);
    const { server, parts } = await received(traceId, parentId);
    expect(server).toMatchObject({
      status: 0,
      attributes: { "rpc.status_code": "NOT_FOUND", "error.type": "downlease.session.not_found" },
    });
    expect(namesOf(parts)).toEqual([read]);
    await eventually("the log line", () =>
      services[store].logs.some((line) => line.traceId === traceId && line.outcome === "not_found"),
    );
  });

  test("a download is a span with its bytes and its outcome, up to the last one", async () => {
    const service = services[store];
    const item = await itemOf(service);
    const id = JSON.parse(await call(service, "/item/download-session", { library_item_id: item }));
    const files = `/item/download-session/${id}/file`;
    const [{ name }] = JSON.parse(await call(service, files));
    await call(service, `${files}?action=prepare`, { file_name: name });
    const uri = await eventually("the link", async () => {
      const file = JSON.parse(await call(service, `${files}?file_name=${name}`));
      return file.download_endpoint?.uri;
    });
    const { traceId, parentId, headers } = beginTrace();
    const bytes = (await (await fetch(uri, { headers })).arrayBuffer()).byteLength;
    const { server, parts } = await received(traceId, parentId);
    expect(server).toMatchObject({
      name: "GET /download/{session}/{file}",
      attributes: {
        "downlease.outcome": "complete",
        "downlease.sent_bytes": bytes,
        "downlease.file": name,
        "http.response.status_code": 200,
      },
    });
    expect(namesOf(parts)).toEqual(expect.arrayContaining([read, "content.openFile", record]));
    await eventually("the log line", () =>
      service.logs.some((line) => line.traceId === traceId && line.outcome === "complete"),
    );
  });

  test("a caller that does not sample its trace leaves no span, but its id is in the log", async () => {
    const { traceId, headers } = beginTrace(false);
    await call(services[store], "/item/download-session", { library_item_id: "none" }, headers);
    await eventually("the log line", () => services[store].logs.some((line) => line.traceId === traceId));
    const later = beginTrace();
    await call(services[store], "", undefined, later.headers);
    await received(later.traceId, later.parentId);
    expect(spansOf(traceId)).toEqual([]);
  });
});

test("a call without a trace begins one, also when its traceparent is none", async () => {
  const before = receiver.spans.length;
  await call(services.SQLite, "", undefined, { traceparent: "00-nonsense" });
  const span = await eventually("the span", () =>
    receiver.spans.slice(before).find(({ kind }) => kind === 2),
  );
  expect(span).toMatchObject({ traceId: expect.stringMatching(/^[0-9a-f]{32}$/), parentId: "" });
});

test("a stream of keep-alives is one span, which ends with it", async () => {
  const { traceId, parentId, headers } = beginTrace();
  const service = services.SQLite;
  const client = protocolClients["gRPC, keep-alives on streams"]!(service.url, headers);
  const item = await itemOf(service);
  await client.keepAlive(await client.create(item));
  await eventually("the span of the stream", () =>
    spansOf(traceId).some((span) => span.parentId === parentId && span.name.endsWith("/KeepAliveStream")),
  );
});

test("a watch is one span, which ends with it", async () => {
  const { traceId, parentId, headers } = beginTrace();
  const admin = createClient(AdminService, createGrpcTransport({ baseUrl: services.SQLite.url }));
  const over = new AbortController();
  const watch = admin.watchSettings({}, { headers, signal: over.signal })[Symbol.asyncIterator]();
  await watch.next();
  expect(spansOf(traceId)).toEqual([]);
  over.abort();
  await expect(watch.next()).rejects.toThrow("canceled");
  const span = await eventually("the span of the watch", () =>
    spansOf(traceId).find(({ name }) => name === "downlease.admin.v1.AdminService/WatchSettings"),
  );
  expect(span.parentId).toBe(parentId);
});

test("a command passes the trace of its caller on, with its calls and its downloads", async () => {
  const { traceId, parentId, headers } = beginTrace();
  const { url } = services.SQLite;
  const args = ["get", await itemOf(services.SQLite), "-o", join(directory.path, "got"), "--server", url];
  expect(await runCommand(args, { env: { TRACEPARENT: headers.traceparent } })).toMatchObject({ code: 0 });
  await eventually("the spans", () => {
    const ofCommand = namesOf(spansOf(traceId).filter((span) => span.parentId === parentId));
    expect(ofCommand).toContain("GET /download/{session}/{file}");
    expect(ofCommand).toContain("content.library.item.v1.DownloadSessionService/Create");
    return true;
  });
});

test("the last spans are sent when the service stops", async () => {
  await using service = await startService([], { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
  const { traceId, headers } = beginTrace();
  await call(service, "", undefined, headers);
  expect(await service.stop()).toEqual({ code: 0, signal: null });
  expect(spansOf(traceId)).not.toEqual([]);
});

test("a collector that is gone costs one line of the log, and neither a call nor the time of the stop", async () => {
  const env = { OTEL_TRACES_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" };
  const bounds = {
    OTEL_BSP_SCHEDULE_DELAY: "10",
    OTEL_BSP_MAX_QUEUE_SIZE: "8",
    OTEL_EXPORTER_OTLP_TIMEOUT: "20",
  };
  await using service = await startService(["--grace-seconds", "60"], { ...env, ...bounds });
  const isReported = () => service.logs.filter(({ msg }) => String(msg).includes("traces can't be exported"));
  await eventually("the line", async () => {
    expect(await call(service, "")).toContain("[");
    return isReported().length > 0;
  });
  for (let count = 0; count < 100; count++) await call(service, "");
  expect(await service.stop()).toEqual({ code: 0, signal: null });
  expect(isReported()).toHaveLength(1);
});

test("only while traces are made it loads OpenTelemetry", async () => {
  expect(services.SQLite.output).toContain("loads @opentelemetry/sdk-trace\n");
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SDK_DISABLED: "true" };
  await using service = await startService([], { ...env, NODE_OPTIONS: await printLoads() }, mainPath);
  expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
  expect(service.output).not.toContain("loads");
});

test("without the packages, which are optional, the start says what is missing", async () => {
  const hide = await onResolve(
    "hide",
    `if (specifier === "@opentelemetry/sdk-trace")
       throw Object.assign(new Error("Cannot find package '@opentelemetry/sdk-trace' imported from x"), { code: "ERR_MODULE_NOT_FOUND" });`,
  );
  const env = { OTEL_TRACES_EXPORTER: "otlp", NODE_OPTIONS: hide };
  const { code, stderr } = await runProgram(
    ["serve", "--port", "0", "--sqlite-path", ":memory:", "--admin-listen", "off"],
    { env },
  );
  expect(stderr).toMatch(
    /^downlease can't start: .*need the package @opentelemetry\/sdk-trace, .*OTEL_SDK_DISABLED=true\n$/,
  );
  expect(code).toBe(1);
});
