import { existsSync } from "node:fs";
import { chmod, readFile, rename, stat, writeFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cheapHash } from "../support/auth-calls.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

let directory: TempDir;
let service: Service;
let [first, second]: Certificate[] = [];
const path = (name: string) => join(directory.path, name);

beforeAll(async () => {
  directory = await tempDir();
  first = await makeCertificate(directory.path, "first", { subject: "/CN=one" });
  second = await makeCertificate(directory.path, "second", { subject: "/CN=two" });
  await install(first);
  await writeFile(path("users"), `root:${cheapHash("secret")}:admin\n`, { mode: 0o600 });
  service = await startService([
    ...["--content-root", directory.path, "--tls-cert", path("tls.pem"), "--tls-key", path("tls.key")],
    ...["--users-file", path("users"), "--audit-log", path("audit"), "--mtls-ca", path("ca.pem")],
  ]);
});
afterAll(async () => {
  await service.kill();
  await directory.remove();
});

async function install({ cert, key }: Certificate): Promise<void> {
  await writeFile(path("tls.pem"), cert);
  await writeFile(path("tls.key"), key);
  await writeFile(path("ca.pem"), cert);
}

async function handshake(): Promise<{ readonly socket: TLSSocket; readonly serial: string }> {
  const socket = connect({ port: service.port, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return { socket, serial: socket.getPeerCertificate().serialNumber };
}

/** Resolves when the service has read its files. */
async function reload(): Promise<void> {
  const done = () => service.logs.filter(({ msg }) => msg === "files were read again").length;
  const before = done();
  process.kill(service.pid, "SIGHUP");
  await eventually("the files to be read", () => done() > before, { withinMs: 10_000 });
}

const logged = (msg: string) => service.logs.filter((line) => line.msg === msg);

function logIn(agent: Agent, password: string): Promise<number | undefined> {
  const options = { method: "POST", auth: `root:${password}`, agent, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    request(`${service.url}/api/session`, options, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
    })
      .once("error", reject)
      .end();
  });
}

/** Whether the holder of a certificate may call. */
async function statusWith({ cert, key }: Certificate): Promise<number | undefined> {
  const agent = new Agent();
  const options = { cert, key, agent, rejectUnauthorized: false };
  return new Promise((resolve, reject) => {
    request(`${service.url}/api/content/library`, options, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
    })
      .once("error", reject)
      .end();
  });
}

test("SIGHUP renews certificates, users and the file of the audit log, and cuts nothing", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const old = await handshake();
  expect([await statusWith(first!), await statusWith(second!)]).toEqual([200, 401]);
  expect(await logIn(agent, "secret")).toBe(201);
  const [connection] = Object.values(agent.freeSockets).flat();
  await install(second!);
  await rename(path("audit"), path("audit.1"));
  await writeFile(path("users"), `root:${cheapHash("other")}:admin\n`, { mode: 0o600 });
  await reload();
  const renewed = await handshake();
  expect(renewed.serial).not.toBe(old.serial);
  expect(old.socket.destroyed).toBe(false);
  expect([await statusWith(first!), await statusWith(second!)]).toEqual([401, 200]);
  expect(await logIn(agent, "secret")).toBe(401);
  expect(await logIn(agent, "other")).toBe(201);
  expect(Object.values(agent.freeSockets).flat()).toEqual([connection]);
  agent.destroy();
  for (const { socket } of [old, renewed]) socket.destroy();
  const outcomes = async (file: string) =>
    (await readFile(path(file), "utf8"))
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line).outcome);
  expect(await outcomes("audit.1")).toEqual(["ok"]);
  await eventually("the new lines", async () => (await outcomes("audit")).length === 2);
  expect(await outcomes("audit")).toEqual(["unauthenticated", "ok"]);
  expect((await stat(path("audit"))).mode & 0o777).toBe(0o600);
});

test("a file that is broken is logged, and the previous one stays", async () => {
  const { serial, socket } = await handshake();
  socket.destroy();
  await writeFile(path("tls.pem"), "nothing");
  await writeFile(path("users"), "nothing");
  await chmod(path("tls.key"), 0o600);
  await reload();
  expect(logged("keeping the previous certificates")).toMatchObject([{ level: "error" }]);
  const aboutUsers = service.logs.filter(({ msg }) =>
    /invalid; keeping the previous users/.test(String(msg)),
  );
  expect(aboutUsers.length).toBeGreaterThan(0);
  const again = await handshake();
  expect(again.serial).toBe(serial);
  again.socket.destroy();
  const agent = new Agent();
  expect(await logIn(agent, "other")).toBe(201);
});

test("SIGUSR2 is ignored with a line", async () => {
  process.kill(service.pid, "SIGUSR2");
  await eventually("the line", () => logged("the signal is ignored").length === 1);
  expect(logged("the signal is ignored")).toMatchObject([{ level: "warn", signal: "SIGUSR2" }]);
});

test("the end of its terminal stops it in order", async () => {
  const main = join(import.meta.dirname, "../../src/main.ts");
  const flags = `--port 0 --admin-listen off --sqlite-path :memory: --log-format json --content-root ${directory.path}`;
  const log = path("terminal.log");
  const audit = path("terminal.audit");
  const command = `exec ${process.execPath} ${main} serve ${flags} --audit-log ${audit}`;
  const terminal = await startProcess("script", ["-qfec", command, log], { input: true });
  const output = async () => (existsSync(log) ? await readFile(log, "utf8") : "");
  await eventually("it to serve", async () => (await output()).includes('"serving"'), { withinMs: 20_000 });
  const children = await readFile(`/proc/${terminal.pid}/task/${terminal.pid}/children`, "utf8");
  const pid = Number(children.trim().split(" ")[0]);
  // A live terminal: the files are read again.
  process.kill(pid, "SIGHUP");
  await eventually("the files to be read", async () => (await output()).includes("files were read again"));
  await terminal.kill();
  await eventually("its end", () => !existsSync(`/proc/${pid}`), { withinMs: 10_000 });
});
