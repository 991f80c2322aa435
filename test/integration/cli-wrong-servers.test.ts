import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { connect } from "../../src/client/index.ts";
import { makeCertificate } from "../support/certificates.ts";
import { runCommand } from "../support/command.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// A URL that leads to something else than the service, and other mistakes about the server.

let directory: TempDir;
let server: Server;
let url: string;
let answer: RequestListener;
beforeAll(async () => {
  directory = await tempDir();
});
afterAll(() => directory.remove());
beforeEach(async () => {
  server = createServer((request, response) => answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
});

const html = { "content-type": "text/html; charset=utf-8" };
const plain = (status: number, headers: Record<string, string> = html) =>
  ((_request, response) => void response.writeHead(status, headers).end("<p>x")) as RequestListener;

describe("an answer that is not one of the service", () => {
  const answers: readonly [string, RequestListener, number, RegExp][] = [
    [
      "a redirect to the same path elsewhere",
      ({ url: path }, response) =>
        void response.writeHead(301, { location: `https://dl.example/base${path}` }).end(),
      2,
      /^URL redirects to https:\/\/dl\.example\/base\. Use that URL$/,
    ],
    [
      "a redirect to a login page, whose query may have secrets",
      plain(302, { location: "/login?next=secret" }),
      2,
      /^URL redirects to URL\/login\. Is this a login page, or another web server\?$/,
    ],
    ["a redirect without a target", plain(307, {}), 2, /^URL redirects to nowhere \(307\)$/],
    ["a page", plain(200), 2, /^URL answers with text\/html instead of data\. Is this a login page/],
    [
      "JSON of something else",
      plain(200, { "content-type": "application/json" }),
      2,
      /application\/json instead/,
    ],
    ["a port for TLS", plain(400), 2, /^URL answers with HTTP 400\. Does it expect https:\/\/ instead/],
    ["another web server", plain(501), 2, /^URL answers with HTTP 501\. Is this a downlease server\?$/],
    [
      "a web server without such a path",
      plain(404),
      2,
      /^URL answers with HTTP 404\. Is this a downlease server/,
    ],
    ["one that allows no POST", plain(405), 2, /^URL answers with HTTP 405\. Is this a downlease server\?$/],
    ["a proxy that asks for a password", plain(401), 4, /^URL answers with HTTP 401\. Log in with/],
    ["a proxy that forbids it", plain(403), 4, /^URL answers with HTTP 403$/],
    ["a server that fails", plain(500), 5, /URL answers with HTTP 500/],
    ["a proxy without a server behind it", plain(502), 5, /URL answers with HTTP 502/],
  ];

  test.each(answers)("%s is explained", async (_, listener, code, message) => {
    answer = listener;
    const shown = (text: string) => text.trimEnd().split("\n").at(-1)!.replaceAll(url, "URL");
    const item = ["photon", "-o", join(directory.path, "out"), "--patience", "0.1"];
    for (const args of [["items"], ["sessions", "cancel", "x"], ["get", ...item]]) {
      const outcome = await runCommand([...args, "--server", url]);
      expect(outcome).toMatchObject({ code, stdout: "" });
      expect(shown(outcome.stderr)).toMatch(/^downlease: /);
      expect(shown(outcome.stderr).slice("downlease: ".length)).toMatch(message);
    }
  });

  test("is explained by the SDK, with the headers", async () => {
    answer = plain(308, { location: "https://other.example/" });
    await using client = connect({ url });
    const error = await client.sessions.get({ downloadSessionId: "x" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConnectError);
    expect((error as ConnectError).rawMessage).toMatch(/redirects to https:\/\/other\.example\//);
    expect((error as ConnectError).metadata.get("location")).toBe("https://other.example/");
  });
});

describe("mistakes about the server are of usage", () => {
  async function expectUsage(args: readonly string[], message: RegExp): Promise<void> {
    const outcome = await runCommand(["items", ...args]);
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toMatch(/^downlease: [^\n]+\n$/);
    expect(outcome.stderr).toMatch(message);
  }

  test.each([
    ["127.0.0.1:8080", /: '127\.0\.0\.1:8080' is not a URL; did you mean http:\/\/127\.0\.0\.1:8080\?$/m],
    ["localhost:8080", /did you mean http:\/\/localhost:8080\?$/m],
    ["dl.example/base", /did you mean http:\/\/dl\.example\/base\?$/m],
    ["dl.example:443", /did you mean https:\/\/dl\.example:443\?$/m],
    ["a b", /'a b' is not a URL$/m],
    ["alice:secret@host", /^(?!.*secret).* is not a URL$/m],
  ])("--server %s", (server, message) => expectUsage(["--server", server], message));

  test.each([["-k"], ["--insecure"], ["-kl"]])("%s", (flag) =>
    expectUsage([flag], /certificates are always verified\. Name the authority to trust with --ca FILE$/m),
  );

  test("files that have no certificate or no key, or not those that belong together", async () => {
    const [one, other] = await Promise.all(
      ["one", "other"].map((name) => makeCertificate(directory.path, name, { subject: `/CN=${name}` })),
    );
    await expectUsage(["--ca", one!.keyPath], /ca has no certificate \(PEM\)/);
    await expectUsage(["--ca", "/dev/null"], /ca has no certificate \(PEM\)/);
    await expectUsage(["--cert", one!.keyPath, "--key", one!.path], /cert and key can't be used/);
    await expectUsage(
      ["--cert", one!.path, "--key", other!.keyPath],
      /cert and key can't be used: .*mismatch/,
    );
    await expectUsage(["--ca", "nowhere.pem"], /--ca nowhere\.pem can't be read: no such file .*\(ENOENT\)/);
  });
});

test.each([
  [["--wrong"], /unknown option '--wrong'/],
  [["item"], /unknown command 'item'\n\(Did you mean items\?\)/],
  [["items", "show"], /missing required argument 'item'/],
  [["get", "x", "--parallel", "0"], /must be a whole number from 1 to 64/],
  [["users", "list"], /required option '--users-file <path>' not specified/],
  [["users", "list", "--users-file", "nowhere"], /nowhere does not exist\. downlease users add creates it/],
  [["users", "list", "--users-file", "/"], /\/ can't be used: a directory has that name \(EISDIR\)/],
])("%j is reported with the prefix of all messages", async (args, message) => {
  const { stdout, stderr } = await runCommand(args);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/^downlease: /);
  expect(stderr).not.toContain("error:");
  expect(stderr).toMatch(message);
});
