import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { type RawConnection, rawConnection } from "../support/raw-connection.ts";
import { http2Client } from "../support/raw-rpc.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const rest = "/api/content/library/item/download-session";
const rpc = "/content.library.item.v1.DownloadSessionService";

let item: string;

/** The requests of an HTTP/1 client for every protocol, by the target after the host. */
const requests: Record<string, () => { method: string; target: string; type?: string; body?: string }> = {
  health: () => ({ method: "GET", target: "/readyz" }),
  "the descriptor set": () => ({ method: "GET", target: "/proto/downlease.binpb" }),
  "/api": () => ({ method: "GET", target: `${rest}?library_item_id=${item}` }),
  "/rest": () => ({
    method: "POST",
    target: "/rest/com/vmware/content/library/item/download-session",
    type: "application/json",
    body: JSON.stringify({ create_spec: { library_item_id: item } }),
  }),
  "JSON-RPC": () => ({
    method: "POST",
    target: "/api",
    type: "application/json",
    body: JSON.stringify({
      jsonrpc: "2.0",
      id: "1",
      method: "invoke",
      params: {
        serviceId: "com.vmware.content.library",
        operationId: "list",
        input: { STRUCTURE: { "operation-input": {} } },
        ctx: { appCtx: {} },
      },
    }),
  }),
  Connect: () => ({ method: "POST", target: `${rpc}/List`, type: "application/json", body: "{}" }),
  "Connect with GET": () => ({ method: "GET", target: `${rpc}/List?encoding=json&message={}&connect=v1` }),
  "gRPC-Web": () => ({
    method: "POST",
    target: `${rpc}/List`,
    type: "application/grpc-web+proto",
    body: "\0\0\0\0\0",
  }),
};

/** As text; the target is what `spell` makes of the path. */
function textOf(name: string, spell = (path: string) => path, host = "localhost"): string {
  const { method, target, type, body = "" } = requests[name]!();
  const headers = [
    `Host: ${host}`,
    `Content-Length: ${body.length}`,
    ...(type ? [`Content-Type: ${type}`] : []),
  ];
  return `${method} ${spell(target)} HTTP/1.1\r\n${headers.join("\r\n")}\r\n`;
}

const bodyOf = (name: string) => requests[name]!().body ?? "";
const statusOf = (answer: string) => answer.slice(9, 12);

/** Requests that are refused, some of them before a protocol gets them. */
const failing = [
  "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET /download/nothing/a.iso HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "GET /readyz HTTP/1.1\r\n\r\n",
  "GET /api/session HTTP/1.1\r\nHost: rebound.example\r\n\r\n",
  "nonsense\r\n\r\n",
];

async function send(connection: RawConnection, text: string): Promise<string> {
  connection.socket.write(text);
  return connection.closed;
}

describe.each([true, false])("fast lane: %s", (fastLane) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ fastLane });
    item = await app.addItem();
  });
  afterAll(() => app.stop());

  describe("a request with a whole URL as its target, as proxies get it", () => {
    test.each(Object.keys(requests))("%s is answered as any other", async (name) => {
      const [plain, absolute] = [(path: string) => path, (path: string) => `HTTP://localhost:1234${path}`];
      const statuses = await Promise.all(
        [plain, absolute].map(async (spell) => {
          using connection = await rawConnection(app.port);
          const text = `${textOf(name, spell)}Connection: close\r\n\r\n${bodyOf(name)}`;
          return statusOf(await send(connection, text));
        }),
      );
      expect(statuses[1]).toBe(statuses[0]);
      expect(statuses[1]).toBe(name === "Connect with GET" ? "405" : "200");
    });

    test("has the host of the URL, not that of the header", async () => {
      for (const [host, inHeader, status] of [
        ["rebound.example", "localhost", "421"],
        ["localhost", "rebound.example", "200"],
      ]) {
        using connection = await rawConnection(app.port);
        const head = textOf("/api", (path) => `http://${host}${path}`, inHeader);
        expect(statusOf(await send(connection, `${head}Connection: close\r\n\r\n`))).toBe(status);
      }
    });

    test("gives a link with the host of the URL, which is served with a whole URL, too", async () => {
      const call = async (path: string, body: string) => {
        const headers = { "content-type": "application/json" };
        const answer = await fetch(`${app.url}${path}`, { method: "POST", headers, body });
        return answer.text();
      };
      const id = JSON.parse(await call(rest, JSON.stringify({ library_item_id: item })));
      const file = `${rest}/${id}/file`;
      await call(`${file}?action=prepare`, '{"file_name":"disk.bin"}');
      let answer = "";
      await eventually("a link", async () => {
        using connection = await rawConnection(app.port);
        const target = `http://dl.localhost:99${file}?file_name=disk.bin`;
        answer = await send(connection, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        return answer.includes('"uri":');
      });
      const [, link] = /"uri":"([^"]+)"/.exec(answer)!;
      expect(link).toMatch(/^http:\/\/dl\.localhost:99\//);
      using connection = await rawConnection(app.port);
      const download = await send(connection, `GET ${link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(download).toMatch(/^HTTP\/1.1 200 [\s\S]*\r\n\r\ncontent$/);
    });

    test.each(["ftp://localhost/readyz", "localhost/readyz"])(
      "%s has no path that is served",
      async (target) => {
        using connection = await rawConnection(app.port);
        const text = `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
        expect(statusOf(await send(connection, text))).toMatch(/^40[04]$/);
      },
    );
  });

  test.each(Object.keys(requests))(
    "a client that ends its side after its request gets its answer: %s",
    async (name) => {
      using connection = await rawConnection(app.port);
      connection.socket.end(`${textOf(name)}\r\n${bodyOf(name)}`);
      expect(statusOf(await connection.closed)).toBe(name === "Connect with GET" ? "405" : "200");
    },
  );

  test("no answer names the program that gives it", async () => {
    const heads = [...Object.keys(requests).map((name) => `${textOf(name)}\r\n${bodyOf(name)}`), ...failing];
    const answers = await Promise.all(
      heads.map(async (text) => {
        using connection = await rawConnection(app.port);
        connection.socket.end(text);
        return await connection.closed;
      }),
    );
    expect(answers.map(statusOf)).toEqual(expect.arrayContaining(["200", "400", "404", "421"]));
    using http2 = http2Client(app.url);
    const paths = [`${rpc}/List`, "/nothing.Service/Nothing", `${rest}/nothing`, "/download/nothing/a"];
    const send = (method: string) =>
      http2.send({ method, headers: { "content-type": "application/grpc" }, body: [Buffer.alloc(5)] });
    const names = (await Promise.all(paths.map(send))).flatMap(({ headers }) => Object.keys(headers));
    expect(names).not.toContain("server");
    for (const answer of answers) expect(answer).not.toMatch(/^(server|x-powered-by|via):/im);
  });

  test("so do all requests that were sent ahead, and one that is cut short gets 400", async () => {
    using connection = await rawConnection(app.port);
    connection.socket.end(`${textOf("/api")}\r\n`.repeat(3));
    expect((await connection.closed).match(/HTTP\/1\.1 200/g)).toHaveLength(3);
    using other = await rawConnection(app.port);
    other.socket.end(`POST ${rest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{`);
    expect(statusOf(await other.closed)).toBe("400");
  });

  test("a client that ends its side without a request is let go", async () => {
    for (const text of ["", "PR", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]) {
      using connection = await rawConnection(app.port);
      connection.socket.end(text);
      // Sooner than a client that sends too little loses its connection.
      await eventually(`the end after "${text}"`, () => connection.socket.closed, { withinMs: 5_000 });
    }
  });

  test("a stream over HTTP/1 ends with its caller's side of the connection", async () => {
    using connection = await rawConnection(app.port);
    const body = "\0\0\0\0\0";
    const head = `POST /grpc.health.v1.Health/Watch HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}`;
    connection.socket.write(`${head}\r\nContent-Type: application/grpc-web+proto\r\n\r\n${body}`);
    await connection.receives("200 OK");
    connection.socket.end();
    await eventually("the end of the stream", () => connection.socket.closed);
  });
});

describe("over TLS", () => {
  let directory: TempDir;
  let app: TestApp;
  let ca: Buffer;
  beforeAll(async () => {
    directory = await tempDir();
    const names = { subject: "/CN=localhost", alternativeNames: "DNS:localhost" };
    const { path, keyPath, cert } = await makeCertificate(directory.path, "server", names);
    ca = cert;
    app = await startTestApp({ tls: { cert: path, key: keyPath } });
    item = await app.addItem();
  });
  afterAll(async () => {
    await app?.stop();
    await directory?.remove();
  });

  test.each(["/api", "/rest", "Connect"])("a client that ends its side gets its answer: %s", async (name) => {
    using connection = await rawConnection(app.port, { ca });
    connection.socket.end(`${textOf(name)}\r\n${bodyOf(name)}`);
    expect(statusOf(await connection.closed)).toBe("200");
  });
});
