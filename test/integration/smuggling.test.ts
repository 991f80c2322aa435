import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestApp, type TestApp } from "../support/app.ts";
import { eventually } from "../support/eventually.ts";
import {
  frame,
  frameType,
  frameTypes,
  http2Data,
  http2Headers,
  http2Hello,
  type RawHeader,
  rawConnection,
} from "../support/raw-connection.ts";

const service = "/rest/com/vmware/content/library/item/download-session";

let app: TestApp;
/** Each test has items of its own: sessions that were created for them show in their lists. */
let item: string;
let smuggled: string;

beforeAll(async () => {
  app = await startTestApp();
});
afterAll(() => app.stop());

const bodyFor = (id: string) => JSON.stringify({ create_spec: { library_item_id: id } });

async function sessionsOf(id: string): Promise<string[]> {
  const response = await fetch(`${app.url}${service}?library_item_id=${id}`);
  expect(response.status, "the service still serves").toBe(200);
  return ((await response.json()) as { value: string[] }).value;
}

/** A request that creates a session, hidden in the body of another or behind it. */
function hidden(): string {
  const body = bodyFor(smuggled);
  return `POST ${service} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

/** A request to create a session with these headers, and what they make of the body. */
const post = (headers: string, body: string, version = "HTTP/1.1") =>
  `POST ${service} ${version}\r\nHost: localhost\r\n${headers}\r\n\r\n${body}${hidden()}`;
const chunked = "Transfer-Encoding: chunked";
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const whole = () => `${chunk(bodyFor(item))}0\r\n\r\n`;
const length = () => bodyFor(item).length;
const withLength = (text: string) => post(`Content-Length: ${text}`, bodyFor(item));
/** A chunked body, the size of its first chunk spelled otherwise. */
const withSize = (spell: (hex: string) => string) =>
  post(chunked, `${spell(length().toString(16))}${bodyFor(item)}\r\n0\r\n\r\n`);

/** Requests whose end two servers could see in different places; built in the test, when the items exist. */
const refused: Record<string, () => string> = {
  "a Content-Length and a Transfer-Encoding": () => post(`Content-Length: 4\r\n${chunked}`, whole()),
  "a Transfer-Encoding and a Content-Length": () => post(`${chunked}\r\nContent-Length: 4`, whole()),
  "two Content-Lengths": () => post(`Content-Length: ${length()}\r\nContent-Length: 0`, bodyFor(item)),
  "a list of Content-Lengths": () => withLength(`${length()}, ${length()}`),
  "a negative Content-Length": () => withLength(`-${length()}`),
  "a Content-Length with a plus": () => withLength(`+${length()}`),
  "a hexadecimal Content-Length": () => withLength(`0x${length().toString(16)}`),
  "a Content-Length with a blank in it": () => withLength("1 0"),
  "an empty Content-Length": () => withLength(""),
  "a Content-Length beyond 64 bits": () => withLength("18446744073709551617"),
  "an unknown Transfer-Encoding": () => post("Transfer-Encoding: xchunked", whole()),
  "a quoted Transfer-Encoding": () => post('Transfer-Encoding: "chunked"', whole()),
  "a Transfer-Encoding after a vertical tab": () => post("Transfer-Encoding: \x0bchunked", whole()),
  "an identity Transfer-Encoding": () => post("Transfer-Encoding: identity", whole()),
  "a Transfer-Encoding that does not end with chunked": () =>
    post("Transfer-Encoding: chunked, identity", whole()),
  "a compressed Transfer-Encoding": () => post("Transfer-Encoding: gzip, chunked", whole()),
  "an identity Transfer-Encoding before chunked": () => post("Transfer-Encoding: identity, chunked", whole()),
  "an empty Transfer-Encoding before chunked": () => post("Transfer-Encoding: , chunked", whole()),
  "chunks in HTTP/1.0": () => post(`Connection: keep-alive\r\n${chunked}`, whole(), "HTTP/1.0"),
  "two Hosts": () => post(`Host: b\r\nContent-Length: ${length()}`, bodyFor(item)),
  "two Hosts, the same": () => post(`hOST: a\r\nContent-Length: ${length()}`, bodyFor(item)),
  "a second Transfer-Encoding": () => post(`${chunked}\r\nTransfer-Encoding: identity`, whole()),
  "chunks of chunks": () => post("Transfer-Encoding: chunked, chunked", whole()),
  "a Transfer-Encoding on the next line": () => post("Transfer-Encoding:\r\n chunked", whole()),
  "a Transfer-Encoding before a blank and a colon": () => post("Transfer-Encoding : chunked", whole()),
  "a Content-Length before a blank and a colon": () => post(`Content-Length : ${length()}`, bodyFor(item)),
  "a chunk size with 0x": () => withSize((hex) => `0x${hex}\r\n`),
  "a chunk size with a plus": () => withSize((hex) => `+${hex}\r\n`),
  "a negative chunk size": () => withSize((hex) => `-${hex}\r\n`),
  "a chunk size before a blank": () => withSize((hex) => `${hex} \r\n`),
  "a chunk size behind a blank": () => withSize((hex) => ` ${hex}\r\n`),
  "no chunk size": () => withSize(() => "\r\n"),
  "a chunk size beyond 64 bits": () => withSize((hex) => `100000000000000${hex.padStart(2, "0")}\r\n`),
  "a chunk size that is too small": () =>
    withSize((hex) => `${(Number.parseInt(hex, 16) - 1).toString(16)}\r\n`),
  "a chunk size with a bare LF": () => withSize((hex) => `${hex}\n`),
  "a chunk extension with a bare LF": () => withSize((hex) => `${hex};a\n`),
  "a chunk with a bare LF": () => post(chunked, `${length().toString(16)}\r\n${bodyFor(item)}\n0\r\n\r\n`),
  "a last chunk with a bare LF": () => post(chunked, `${chunk(bodyFor(item))}0\r\n\n`),
  "a Content-Length behind the chunks": () =>
    post(chunked, `${chunk(bodyFor(item))}0\r\nContent-Length: 500\r\n\r\n`),
  "a header on two lines": () => post(`x: a\r\n b\r\nContent-Length: ${length()}`, bodyFor(item)),
  "bare LFs": () => post(`Content-Length: ${length()}`, "").replaceAll("\r\n", "\n"),
  "a bare LF in the headers": () => post(`x: a\nContent-Length: ${length()}`, bodyFor(item)),
  "a bare CR in a header": () => post(`x: a\r${chunked}\r\nContent-Length: ${length()}`, bodyFor(item)),
  "NUL in a header": () => post(`x: a\0b\r\nContent-Length: ${length()}`, bodyFor(item)),
  "NUL in the name of a header": () => post(`x\0: a\r\nContent-Length: ${length()}`, bodyFor(item)),
  "a blank in the name of a header": () => post(`a b: c\r\nContent-Length: ${length()}`, bodyFor(item)),
  "a blank in the target": () =>
    post(`Content-Length: ${length()}`, bodyFor(item)).replace("session HTTP", "session a HTTP"),
  "a target that is a host": () =>
    post(`Content-Length: ${length()}`, bodyFor(item)).replace(service, "a:80"),
  "HTTP/1.2": () => post(`Content-Length: ${length()}`, bodyFor(item), "HTTP/1.2"),
  "HTTP/3.0": () => post(`Content-Length: ${length()}`, bodyFor(item), "HTTP/3.0"),
};

/** Statuses of the answers in what came back. */
const statusesIn = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);

describe("over HTTP/1.1", () => {
  test.each(Object.keys(refused))("%s: nothing is done, and the connection ends", async (name) => {
    [item, smuggled] = [await app.addItem(), await app.addItem()];
    using client = await rawConnection(app.port);
    client.socket.write(refused[name]!(), "latin1");
    expect(statusesIn(await client.closed)).toEqual(["400"]);
    expect([await sessionsOf(item), await sessionsOf(smuggled)]).toEqual([[], []]);
  });

  test.each([
    ["headers without end", () => post("a:\r\n".repeat(5000) + chunked, whole()), "431"],
    ["a chunk extension without end", () => withSize((hex) => `${hex};a=${"x".repeat(20_000)}\r\n`), "413"],
  ] as const)("%s: nothing is done, and the connection ends", async (_, text, status) => {
    [item, smuggled] = [await app.addItem(), await app.addItem()];
    using client = await rawConnection(app.port);
    client.socket.write(text(), "latin1");
    expect(statusesIn(await client.closed)).toEqual([status]);
    expect([await sessionsOf(item), await sessionsOf(smuggled)]).toEqual([[], []]);
  });

  test("a tunnel is not opened, and the requests sent into it are not served", async () => {
    smuggled = await app.addItem();
    using client = await rawConnection(app.port);
    client.socket.write(`CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n${hidden()}`);
    expect(await client.closed).toBe("");
    expect(await sessionsOf(smuggled)).toEqual([]);
  });

  test.each(["h2c", "websocket"])(
    "an upgrade to %s is not made, and what follows is not served",
    async (to) => {
      smuggled = await app.addItem();
      using client = await rawConnection(app.port);
      client.socket.write(
        `GET ${service} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: ${to}\r\n\r\n${hidden()}`,
      );
      await client.receives("HTTP/1.1 200 ");
      client.socket.end();
      expect(statusesIn(await client.closed)).toEqual(["200"]);
      expect(await sessionsOf(smuggled)).toEqual([]);
    },
  );

  test("a target with a host in it is for that host, whatever the Host line says", async () => {
    item = await app.addItem();
    const body = bodyFor(item);
    using client = await rawConnection(app.port);
    client.socket.write(
      `POST http://b${service} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    expect(statusesIn(await client.closed)).toEqual(["421"]);
    expect(await sessionsOf(item)).toEqual([]);
  });

  test("two requests in a row are two requests, with any paths", async () => {
    [item, smuggled] = [await app.addItem(), await app.addItem()];
    using client = await rawConnection(app.port);
    client.socket.write(
      post(
        `Content_Length: 4\r\n${chunked}`,
        `${length().toString(16)};a=b\r\n${bodyFor(item)}\r\n0\r\nx: y\r\n\r\n`,
      ),
    );
    await eventually("two answers", () => statusesIn(client.received).length === 2);
    expect(statusesIn(client.received)).toEqual(["200", "200"]);
    expect([(await sessionsOf(item)).length, (await sessionsOf(smuggled)).length]).toEqual([1, 1]);
  });
});

describe("over HTTP/2", () => {
  const usual = (): RawHeader[] => [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", service],
    [":authority", "localhost"],
    ["content-type", "application/json"],
  ];
  const replaced = (name: string, value: string) =>
    usual().map(([key, old]): RawHeader => [key, key === name ? value : old]);
  /** A request with its body, plus some headers. */
  const plus = (...more: RawHeader[]) => request([...usual(), ...more]);
  const request = (pairs: readonly RawHeader[], body = bodyFor(item)) =>
    http2Headers(1, pairs) + http2Data(1, body);
  const half = () => http2Headers(1, usual()) + http2Data(1, bodyFor(item), { end: false });

  const malformed: Record<string, () => string> = {
    Connection: () => plus(["connection", "close"]),
    "Transfer-Encoding": () => plus(["transfer-encoding", "chunked"]),
    Upgrade: () => plus(["upgrade", "h2c"]),
    "Keep-Alive": () => plus(["keep-alive", "timeout=1"]),
    "Proxy-Connection": () => plus(["proxy-connection", "close"]),
    "a TE that is not trailers": () => plus(["te", "gzip"]),
    "a name in upper case": () => plus(["X-Upper", "a"]),
    "a Content-Length that is too great": () => plus(["content-length", String(length() + 1)]),
    "a Content-Length that is too small": () => plus(["content-length", String(length() - 1)]),
    "a Content-Length without a body": () =>
      http2Headers(1, [...usual(), ["content-length", "5"]], { end: true }),
    "two Content-Lengths": () => plus(["content-length", String(length())], ["content-length", "0"]),
    "a Content-Length with a plus": () => plus(["content-length", `+${length()}`]),
    "no path": () => request(usual().filter(([name]) => name !== ":path")),
    "two paths": () => plus([":path", "/"]),
    "an empty path": () => request(replaced(":path", "")),
    "a path that is a URL": () => request(replaced(":path", `http://a${service}`)),
    "a path with a blank": () => request(replaced(":path", `${service} HTTP/1.1`)),
    "a path with a line break": () => request(replaced(":path", `${service}\r\nx: y`)),
    "a method with a line break": () => request(replaced(":method", "POST / HTTP/1.1\r\nx")),
    "an unknown pseudo-header": () => plus([":version", "HTTP/1.1"]),
    "a pseudo-header behind the others": () => request([["a", "b"], ...usual()]),
    "an authority with a user": () => request(replaced(":authority", "user@a")),
    "pseudo-headers as trailers": () => half() + http2Headers(1, [[":path", "/"]], { end: true }),
    "a Content-Length as trailer": () => half() + http2Headers(1, [["content-length", "500"]], { end: true }),
  };

  test.each(Object.keys(malformed))("%s: the request is reset, and nothing is done", async (name) => {
    item = await app.addItem();
    using client = await rawConnection(app.port);
    client.socket.write(http2Hello + malformed[name]!(), "latin1");
    const isRefused = (type: number) => type === frameType.resetStream || type === frameType.goAway;
    await eventually("the refusal", () => frameTypes(client.received).some(isRefused));
    expect(frameTypes(client.received)).not.toContain(frameType.data);
    expect(await sessionsOf(item)).toEqual([]);
  });

  test.each<RawHeader>([
    ["a", "b\r\ncontent-length: 0"],
    ["a", "b\0c"],
    ["a\r\nb", "c"],
    ["a b", "c"],
    ["a:", "c"],
    ["", "c"],
  ])("a header %j: %j goes nowhere", async (name, value) => {
    item = await app.addItem();
    using client = await rawConnection(app.port);
    client.socket.write(http2Hello + plus([name, value]), "latin1");
    await eventually("the answer", () => frameTypes(client.received).includes(frameType.data));
    expect(await sessionsOf(item)).toHaveLength(1);
  });

  /** Connect's unary protocol, where a part of a message may be a message. */
  const cancel = (id: string): RawHeader[] => [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/content.library.item.v1.DownloadSessionService/Cancel"],
    [":authority", "localhost"],
    ["content-type", "application/proto"],
    ["x-request-id", id],
  ];

  test.each([
    ["by the end of the connection", ""],
    ["by a reset with the code NO_ERROR", frame(frameType.resetStream, 0, 1, "\0\0\0\0")],
  ])("a body that is cut short %s is no request", async (_, reset) => {
    item = await app.addItem();
    const created = await fetch(app.url + service, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: bodyFor(item),
    });
    const { value: id } = (await created.json()) as { value: string };
    // The whole message is longer; the part that arrived is already a valid `Cancel`.
    const part = `\x0a${String.fromCharCode(id.length)}${id}`;
    using client = await rawConnection(app.port);
    client.socket.write(
      http2Hello + http2Headers(1, cancel(id)) + http2Data(1, part, { end: false }) + reset,
      "latin1",
    );
    client.socket.end();
    await client.closed;
    const session = await fetch(`${app.url}${service}/id:${id}`);
    expect(await session.json()).toMatchObject({ value: { state: "ACTIVE" } });
  });
});
