import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createNetServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { makeCertificate } from "../support/certificates.ts";
import { type CommandOptions, type Outcome, runCommand } from "../support/command.ts";
import { tempDir } from "../support/temp-dir.ts";

/** What the services of a test answer to `/readyz`. */
let status = 200;
const opened: { close(): void }[] = [];

afterEach(() => {
  for (const each of opened.splice(0)) each.close();
  status = 200;
});

async function portOf(server: Server, host = "127.0.0.1") {
  opened.push(server);
  server.listen(0, host);
  await once(server, "listening");
  return String((server.address() as AddressInfo).port);
}

const answering = () =>
  createServer(({ url }, response) => response.writeHead(url === "/readyz" ? status : 404).end());

function health(args: readonly string[], env: CommandOptions["env"] = {}): Promise<Outcome> {
  return runCommand(["health", ...args], { env });
}

const ready: Outcome = { code: 0, stdout: "ready\n", stderr: "" };

describe("downlease health", () => {
  test("asks the service that the flags or the variables name, or a URL", async () => {
    const port = await portOf(answering());
    expect(await health(["--port", port])).toEqual(ready);
    expect(await health([], { DOWNLEASE_PORT: port, DOWNLEASE_HOST: "0.0.0.0" })).toEqual(ready);
    expect(await health(["--url", `http://127.0.0.1:${port}`], { DOWNLEASE_PORT: "1" })).toEqual(ready);
  });

  test("asks the service of a configuration file, but not a port that Kubernetes has set", async () => {
    await using directory = await tempDir();
    const config = join(directory.path, "downlease.yaml");
    await writeFile(config, `port: ${await portOf(answering())}\nhost: 0.0.0.0\n`);
    expect(await health(["--config", config])).toEqual(ready);
    const env = { DOWNLEASE_CONFIG: config, DOWNLEASE_PORT: "tcp://10.0.0.1:80" };
    expect(await health([], env)).toEqual(ready);
    expect(await health(["--config", `${config}.none`])).toMatchObject({ code: 2, stdout: "" });
  });

  test("reaches a service on every IPv6 address", async () => {
    const port = await portOf(answering(), "::1");
    expect(await health(["--port", port, "--host", "::"])).toEqual(ready);
  });

  test("asks over TLS when the service has a certificate, which is for the names of clients", async () => {
    await using directory = await tempDir();
    const { cert, key, path } = await makeCertificate(directory.path, "own", { subject: "/CN=dl.example" });
    const port = await portOf(createTlsServer({ cert, key }, (_, response) => response.end()));
    expect(await health(["--port", port], { DOWNLEASE_TLS_CERT: path })).toEqual(ready);
  });

  test.each([
    [503, "can't store sessions now, or is stopping"],
    [404, "answers 404"],
  ])("ends with 1 on %i", async (answer, reason) => {
    status = answer;
    const port = await portOf(answering());
    const stderr = `downlease: not ready: http://127.0.0.1:${port} ${reason}\n`;
    expect(await health(["--port", port])).toEqual({ code: 1, stdout: "", stderr });
  });

  test("ends with 1 when nothing, something else or nobody in time answers", async () => {
    const silent = await portOf(createNetServer());
    const closing = await portOf(createNetServer((socket) => socket.end("220 mail\r\n")));
    const outcomes = await Promise.all([
      health(["--port", "1"]),
      health(["--port", closing]),
      health(["--port", silent, "--timeout", "0.1"]),
    ]);
    expect(outcomes.map(({ code, stderr }) => [code, stderr])).toEqual([
      [1, expect.stringMatching(/^downlease: not ready: .* is unreachable \(ECONNREFUSED\)\n$/)],
      [1, expect.stringMatching(/^downlease: not ready: .* is unreachable \(HPE_\w+\)\n$/)],
      [1, expect.stringMatching(/^downlease: not ready: .* does not answer within 0.1 s\n$/)],
    ]);
  });

  test.each([
    [["--port", "70000"], "must be a whole number from 0 to 65535"],
    [["--port", "0"], "name its URL with --url"],
    [["--url", "dl.example"], "must be that of a service"],
    [["--url", "ftp://dl.example"], "must be that of a service"],
  ])("ends with 2 on %j", async (args, reason) => {
    const { code, stdout, stderr } = await health(args);
    expect(stderr).toContain(reason);
    expect({ code, stdout, lines: stderr.match(/\n/g)?.length }).toEqual({ code: 2, stdout: "", lines: 1 });
  });
});
