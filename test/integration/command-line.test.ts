import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import packageFacts from "../../package.json" with { type: "json" };
import { settings } from "../../src/config/settings.ts";
import { runCommand, runProgram, startProgram } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/ports.ts";
import type { Process } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { sharedRedisUrl } from "../support/shared-redis.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
const running: { kill(): Promise<void> }[] = [];

beforeEach(async () => {
  directory = await tempDir();
  await mkdir(join(directory.path, "library"));
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((child) => child.kill()));
  await directory.remove();
});

async function start(args: readonly string[]): Promise<Process> {
  const child = await startProgram(args, { cwd: directory.path });
  running.push(child);
  return child;
}

/** Time for a process to start on a busy machine. */
const patience = { withinMs: 15_000 };

const ownPlaces = ["--port", "0", "--admin-listen", "off"].concat(
  ...["--content-root", "library", "--sqlite-path", ":memory:"],
);

/** The service with its defaults, but for the places that tests must not share. */
async function serve(...args: string[]): Promise<Service> {
  const service = await startService(["--content-root", join(directory.path, "library"), ...args]);
  running.push(service);
  return service;
}

/** Makes `<name>.pem`, valid for 127.0.0.1, and `<name>.key`. */
function makeCertificate(name: string): void {
  const key = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-keyout",
    `${name}.key`,
  ];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const args = ["req", "-x509", ...key, ...subject, "-out", `${name}.pem`];
  execFileSync("openssl", args, { cwd: directory.path, stdio: "ignore" });
}

const signal = ({ pid }: Service, name: NodeJS.Signals) => process.kill(pid, name);

describe("usage", () => {
  test("--help lists the commands, serve --help every setting with its default", async () => {
    const [general, ofServe] = await Promise.all([runCommand(["--help"]), runProgram(["serve", "--help"])]);
    expect(general).toMatchObject({ code: 0, stderr: "" });
    expect(general.stdout).toMatch(/^ {2}serve /m);
    expect(ofServe).toMatchObject({ code: 0, stderr: "" });
    const text = ofServe.stdout.replace(/\s+/g, " ");
    for (const { usage, help, default: value } of settings) {
      expect(text).toContain(`${usage} ${help} (default: ${value})`);
    }
  });

  test("--version prints the version of the package", async () => {
    expect(await runProgram(["--version"])).toEqual({
      code: 0,
      stdout: `${packageFacts.version}\n`,
      stderr: "",
    });
  });

  test.each([
    [[], /Usage: downlease/],
    [["serv"], /unknown command 'serv'\n\(Did you mean serve\?\)/],
    [["serve", "--prot", "1"], /unknown option '--prot'\n\(Did you mean --port\?\)/],
    [["serve", "--port"], /argument missing/],
    [["serve", "now"], /too many arguments/],
  ])("%j ends with 2 and says why", async (args, message) => {
    const { code, stdout, stderr } = await runCommand(args);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  test("the exit code of the program is that of the command", async () => {
    expect(await runProgram(["serv"])).toMatchObject({ code: 2, stdout: "" });
  });
});

describe("mistakes in the configuration", () => {
  test("end with 2 and are reported all at once, by the names used, without secrets", async () => {
    const { code, stdout, stderr } = await runProgram(
      ["serve", "--content-root", "library", "--port", "70000", "--tls-cert", "cert.pem"],
      {
        env: {
          DOWNLEASE_LEASE_SECONDS: "-1",
          DOWNLEASE_REDIS_URL: "redis://user:secret@host:0",
          DOWNLEASE_LOG_LEVE: "info",
        },
        cwd: directory.path,
      },
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.split("\n")).toEqual([
      "The configuration is wrong:",
      "  --port must be a whole number from 0 to 65535, not '70000'",
      "  DOWNLEASE_REDIS_URL has a bad host; write host:port",
      "  DOWNLEASE_LEASE_SECONDS must be a number of seconds from 0.001 to 2592000, not '-1'",
      "  --tls-key (or DOWNLEASE_TLS_KEY) must be set: certificate and key belong together",
      "  DOWNLEASE_LOG_LEVE is not a setting; did you mean DOWNLEASE_LOG_LEVEL?",
      "See downlease serve --help.",
      "",
    ]);
  });
});

describe("problems that keep the service from starting", () => {
  async function expectOneLine(args: readonly string[], message: RegExp): Promise<void> {
    const { code, stdout, stderr } = await runProgram(["serve", ...ownPlaces, ...args], {
      cwd: directory.path,
    });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^downlease can't start: [^\n]+\n$/);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  }

  test("a port in use", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    try {
      await expectOneLine(
        ["--port", `${port}`],
        new RegExp(`address already in use 127\\.0\\.0\\.1:${port}`),
      );
    } finally {
      other.close();
    }
  });

  test("a content root that does not exist", () =>
    expectOneLine(
      ["--content-root", "nowhere"],
      /content root .*nowhere can't be used: no such directory\n$/,
    ));

  test("a SQLite file in a directory that does not exist", () =>
    expectOneLine(
      ["--sqlite-path", "nowhere/sessions.db"],
      /nowhere\/sessions\.db' can't be used: no such directory: .*nowhere\n$/,
    ));

  test("TLS files that do not exist", () =>
    expectOneLine(
      ["--tls-cert", "cert.pem", "--tls-key", "key.pem"],
      /TLS can't be used: .*(cert|key)\.pem/,
    ));

  test("TLS files that are not PEM", async () => {
    await writeFile(join(directory.path, "cert.pem"), "no certificate");
    await expectOneLine(["--tls-cert", "cert.pem", "--tls-key", "cert.pem"], /TLS can't be used: .*PEM/);
  });

  test("a certificate and the key of another", async () => {
    makeCertificate("a");
    makeCertificate("b");
    await expectOneLine(["--tls-cert", "a.pem", "--tls-key", "b.key"], /TLS can't be used: .*mismatch/);
  });
});

describe("serve", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "takes the port it prints, and ends with 0 on %s",
    async (name) => {
      const service = await serve();
      expect(service.logs).toContainEqual({
        adminUrl: service.adminUrl,
        level: "info",
        time: expect.any(String),
        msg: "serving",
        url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/),
        sessions: "SQLite :memory:",
        contentRoot: join(directory.path, "library"),
      });
      expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
      expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
      signal(service, name);
      expect(await service.exited).toEqual({ code: 0, signal: null });
      expect(service.logs.at(-1)).toMatchObject({ msg: "stopped" });
    },
  );

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const)("a second signal, %s, ends it at once with %i", async (name, code) => {
    const service = await serve("--grace-seconds", "600", "--drain-seconds", "500");
    signal(service, "SIGTERM");
    await eventually("not ready", async () => (await fetch(`${service.url}/readyz`)).status === 503);
    signal(service, name);
    expect(await service.exited).toEqual({ code, signal: null });
  });

  test("waits for an unreachable Redis, alive and not ready, and does not log its password", async () => {
    const service = await serve("--redis-url", "redis://user:secret@127.0.0.1:1");
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${service.url}/readyz`)).status).toBe(503);
    expect(service.logs).toContainEqual(
      expect.objectContaining({ msg: "serving", sessions: "Redis redis://***@127.0.0.1:1" }),
    );
    expect(await service.stop()).toEqual({ code: 0, signal: null });
    expect(JSON.stringify(service.logs)).not.toContain("secret");
  });

  test("counts and logs a call, under the request id of its caller", async () => {
    const service = await serve();
    const session = "3f1c9b52-7a51-4b8e-9d8e-0c3b8f1f2a77";
    const answer = await fetch(
      `${service.url}/com/vmware/content/library/item/download-session/id:${session}`,
      { headers: { "x-request-id": "a-request" } },
    );
    expect(answer.status).toBe(404);
    expect(answer.headers.get("x-request-id")).toBe("a-request");
    const line = await eventually("the log line", () =>
      service.logs.find(({ requestId }) => requestId === "a-request"),
    );
    expect(line).toMatchObject({
      level: "info",
      operation: "DownloadSession.Get",
      protocol: "rest",
      outcome: "not_found",
      session,
      peer: "127.0.0.1",
    });
    const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
    expect(metrics).toContain(
      'downlease_requests_total{operation="DownloadSession.Get",protocol="rest",code="not_found"} 1\n',
    );
    expect(metrics).toMatch(/^downlease_connections\{protocol="http1"\} [1-9]/m);
  });

  test("speaks TLS when it has a certificate", async () => {
    makeCertificate("own");
    const [cert, key] = [join(directory.path, "own.pem"), join(directory.path, "own.key")];
    const { url } = await serve("--tls-cert", cert, "--tls-key", key);
    expect(url).toMatch(/^https:/);
    const [response] = await once(
      get(`${url}/readyz`, { ca: await readFile(cert), agent: false }),
      "response",
    );
    response.resume();
    expect(response.statusCode).toBe(200);
  });

  test("measures its round trips to Redis", async () => {
    const { url, adminUrl } = await serve("--redis-url", sharedRedisUrl());
    await fetch(`${url}/com/vmware/content/library/item/download-session/id:nothing`);
    const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
    expect(metrics).toContain('downlease_redis_round_trip_seconds_count{script="readSession-1"} 1\n');
  });

  test("writes a readable line for each call with --log-format pretty", async () => {
    const child = await start(["serve", ...ownPlaces, "--log-format", "pretty"]);
    const line = await eventually("the service", () => /serving .*\n/.exec(child.stdout)?.[0], patience);
    const [url] = /http:\/\/[^"]+/.exec(line) ?? [];
    await fetch(`${url}/nowhere`);
    await eventually("the call", () =>
      /^\[[\d:.]+\] INFO: unknown GET \/nowhere operation_not_found [\d.]+ ms, rest from 127\.0\.0\.1, request \S+/m.test(
        child.stdout,
      ),
    );
  });

  test("logs nothing below --log-level", async () => {
    const port = await freePort();
    const child = await start(["serve", ...ownPlaces, "--port", `${port}`, "--log-level", "error"]);
    await eventually(
      "the service",
      async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok,
      patience,
    );
    child.signal("SIGTERM");
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(child.stdout).toBe("");
  });
});
