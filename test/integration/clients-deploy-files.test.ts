import { execFileSync, spawnSync } from "node:child_process";
import { cp, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compose } from "../support/client-tools.ts";
import { eventually } from "../support/eventually.ts";
import { isExecutable } from "../support/executables.ts";
import { reasonAgainstTools } from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";
import { startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const root = resolve(import.meta.dirname, "../..");
const withoutSystemd = isExecutable("systemd-analyze") ? undefined : ": without systemd-analyze";

let directory: TempDir;
beforeAll(async () => {
  directory = await tempDir();
});
afterAll(() => directory.remove());

describe.skipIf(withoutSystemd)(`the unit of systemd${withoutSystemd ?? ""}`, () => {
  /** A copy with a program that exists, since systemd looks for it. */
  let unit: string;
  beforeAll(async () => {
    const path = join(directory.path, "units");
    await cp(join(root, "deploy/systemd"), path, { recursive: true });
    unit = join(path, "downlease.service");
    const text = await readFile(unit, "utf8");
    await writeFile(unit, text.replace("ExecStart=/usr/local/bin/downlease", "ExecStart=/bin/true"));
  });

  const analyze = (...args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync("systemd-analyze", [...args, unit], { encoding: "utf8" });
    return { status, output: stdout + stderr };
  };

  test("passes systemd-analyze verify, with its secrets", () => {
    expect(analyze("verify", "--man=no")).toEqual({ status: 0, output: "" });
  });

  test("a mistake in it would be noticed", async () => {
    const text = await readFile(unit, "utf8");
    try {
      await writeFile(unit, text.replace("NotifyAccess=all", "NotifyAccess=everybody"));
      expect(analyze("verify", "--man=no").output).toContain("everybody");
    } finally {
      await writeFile(unit, text);
    }
  });

  test("is exposed less than 2.0 of 10", () => {
    const { status, output } = analyze("security", "--offline=true", "--threshold=20", "--no-pager");
    process.stdout.write(`${/→ (Overall exposure.*)/.exec(output)?.[1]}\n`);
    expect({ status, output }).toMatchObject({ status: 0 });
  });

  test("systemd's own program notifies an abstract socket of it", async () => {
    const name = `downlease-${process.pid}`;
    await using listener = await listen(name);
    await using service = await startService([], { NOTIFY_SOCKET: `@${name}` });
    await eventually("READY", () => listener.received().includes("READY=1"));
    await service.stop();
    await eventually("STOPPING", () => /STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+/.test(listener.received()));
  });
});

/** A socket of datagrams, which Node.js cannot make. */
async function listen(name: string) {
  const program = await startProcess("python3", ["-u", "-c", listenerProgram, name]);
  await eventually("the socket", () => program.stdout.includes("listening"));
  return { received: () => program.stdout, [Symbol.asyncDispose]: () => program.kill() };
}

const listenerProgram = `
import socket, sys
endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
endpoint.bind("\\0" + sys.argv[1])
print("listening")
while True:
    print(endpoint.recv(4096).decode())
`;

const reason = reasonAgainstTools([compose]);

describe.skipIf(reason !== undefined)(`docker compose${reason ?? ""}`, () => {
  const config = (...files: readonly string[]) => {
    const named = files.flatMap((file) => ["--file", join(root, file)]);
    const output = execFileSync(compose.path, [...named, "config", "--format", "json"], { encoding: "utf8" });
    return JSON.parse(output);
  };

  test("takes the file", () => {
    const { services } = config("docker-compose.yml");
    expect(services.haproxy.ports).toMatchObject([{ host_ip: "127.0.0.1", published: "8080" }]);
    expect(services["replica-1"].environment).toMatchObject({ DOWNLEASE_INSECURE_NO_AUTH: "on" });
  });

  test("takes the one for other machines: nobody is anonymous, and secrets are files", () => {
    const { services, secrets } = config("docker-compose.yml", "deploy/compose.secure.yml");
    expect(services.haproxy.ports).toMatchObject([{ published: "443", target: 8080 }]);
    expect(services.haproxy.ports[0]).not.toHaveProperty("host_ip");
    expect(services.haproxy.environment).toMatchObject({ TLS_CERTIFICATE: "/run/secrets/tls.pem" });
    for (const name of ["replica-1", "replica-2", "replica-3"]) {
      const { environment, volumes } = services[name];
      expect(environment).toMatchObject({
        ...{ DOWNLEASE_INSECURE_NO_AUTH: "", DOWNLEASE_REDIS_URL: "" },
        DOWNLEASE_REDIS_URL_FILE: "/run/secrets/redis-url",
        DOWNLEASE_TRUSTED_PROXIES: services.haproxy.networks.default.ipv4_address,
      });
      expect(volumes.map(({ target }: { target: string }) => target)).toEqual(["/library", "/etc/downlease"]);
    }
    for (const { file } of Object.values<{ file: string }>(secrets)) expect(file).toMatch(/\/secrets\//);
  });
});
