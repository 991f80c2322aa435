import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { cheapHash } from "../support/auth-calls.ts";
import { type Certificate, makeCertificate } from "../support/certificates.ts";
import { mainPath, runCommand, startOnTerminal } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

// Some tests start several processes one after the other, each of which takes its time on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

let directory: TempDir;
let open: Service;
let guarded: Service;
let authority: Certificate;
let alice: Certificate;

beforeAll(async () => {
  directory = await tempDir();
  const users = join(directory.path, "users");
  await writeFile(users, `alice:${cheapHash("correct horse")}:\n`);
  authority = await makeCertificate(directory.path, "authority", { subject: "/CN=authority" });
  alice = await makeCertificate(directory.path, "alice", {
    subject: "/CN=alice",
    issuer: authority,
    usage: "clientAuth",
  });
  const server = await makeCertificate(directory.path, "server", {
    subject: "/CN=localhost",
    alternativeNames: "IP:127.0.0.1",
    issuer: authority,
  });
  [open, guarded] = await Promise.all([
    startService([]),
    startService([
      ...["--users-file", users, "--mtls-ca", authority.path],
      ...["--tls-cert", server.path, "--tls-key", server.keyPath],
    ]),
  ]);
});
afterAll(async () => {
  await Promise.all([open.stop(), guarded.stop()]);
  await directory.remove();
});

const list = (args: readonly string[], env: Record<string, string> = {}) =>
  runCommand(["sessions", "list", "--json", ...args], { env });
const toGuarded = (...args: string[]) => ["--server", guarded.url, "--ca", authority.path, ...args];

describe("credentials", () => {
  test("no credentials: 4, and what to do", async () => {
    const { code, stdout, stderr } = await list(toGuarded());
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
    expect(stderr).toMatch(
      /^downlease: .+ Log in with downlease login, or pass credentials with --token, --user or --cert\.\n$/,
    );
  });

  test("a user with a password from the variable, whose login session is closed again", async () => {
    const env = { DOWNLEASE_USER: "alice", DOWNLEASE_PASSWORD: "correct horse" };
    expect(await list(toGuarded(), env)).toEqual({ code: 0, stdout: "", stderr: "" });
    const operations = guarded.logs.map(({ operation }) => operation);
    expect(operations).toContain("Session.Create");
    await eventually("the login session to be closed", () =>
      guarded.logs.some(({ operation, outcome }) => operation === "Session.Delete" && outcome === "ok"),
    );
  });

  test("a password in a file, and what is wrong with it", async () => {
    const file = join(directory.path, "password");
    await writeFile(file, "correct horse\n");
    const user = toGuarded("--user", "alice");
    const env = { DOWNLEASE_PASSWORD: "wrong" };
    expect(await list([...user, "--password-file", file], env)).toMatchObject({ code: 0, stderr: "" });
    expect(await list(user, { ...env, DOWNLEASE_PASSWORD_FILE: file })).toEqual({
      code: 2,
      stdout: "",
      stderr: "downlease: set either the password or a file that holds it, not both\n",
    });
    expect(await list(toGuarded("--token-file", directory.path))).toEqual({
      code: 2,
      stdout: "",
      stderr: "downlease: --token-file names a file that can't be read (EISDIR)\n",
    });
  });

  test("a user with a wrong password: 4", async () => {
    const outcome = await list(toGuarded("--user", "alice"), { DOWNLEASE_PASSWORD: "wrong" });
    expect(outcome).toMatchObject({ code: 4, stdout: "" });
    expect(outcome.stderr).toMatch(/^downlease: The credentials are wrong\./);
  });

  test("a user without a password, and no terminal to ask: 2", async () => {
    expect(await list(toGuarded("--user", "alice"))).toEqual({
      code: 2,
      stdout: "",
      stderr: "downlease: the password of alice is needed: set DOWNLEASE_PASSWORD or --password-file\n",
    });
  });

  test("a user whose password is typed on the terminal, without echo", async () => {
    const child = await startOnTerminal(["sessions", "list", ...toGuarded("--user", "alice")]);
    const question = `Password of alice at ${guarded.url}: `;
    await eventually("the question", () => child.stdout.includes(question), { withinMs: 15_000 });
    child.type("correct horse\r");
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(child.stdout).toContain("EXPIRES IN");
    expect(child.stdout).not.toContain("horse");
  });

  test("Ctrl-C at the question is 130", async () => {
    const child = await startOnTerminal(["sessions", "list", ...toGuarded("--user", "alice")]);
    await eventually("the question", () => child.stdout.includes("Password of alice"), { withinMs: 15_000 });
    child.type("corr\x03");
    expect(await child.exited).toEqual({ code: 130, signal: null });
  });

  test("a certificate", async () => {
    const flags = toGuarded("--cert", alice.path, "--key", alice.keyPath);
    expect(await list(flags)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("a wrong token: 4; a flag wins over the variable of another kind of credentials", async () => {
    const env = { DOWNLEASE_USER: "alice", DOWNLEASE_PASSWORD: "correct horse" };
    expect(await list(toGuarded("--token", "none"), env)).toMatchObject({ code: 4, stdout: "" });
    expect(await list(toGuarded("--user", "alice"), { ...env, DOWNLEASE_TOKEN: "none" })).toMatchObject({
      code: 0,
    });
    expect(await list(toGuarded(), { ...env, DOWNLEASE_TOKEN: "none" })).toMatchObject({ code: 2 });
  });
});

describe("a server that can't be reached is 5 and named by its URL", () => {
  test.each([
    ["http://127.0.0.1:1", "connection refused"],
    ["http://nowhere.invalid", ""],
    ["https://127.0.0.1:1", "connection refused"],
  ])("%s", async (url, reason) => {
    const { code, stdout, stderr } = await list(["--server", url]);
    expect({ code, stdout }).toEqual({ code: 5, stdout: "" });
    expect(stderr).toMatch(/^downlease: [^\n]+\n$/);
    expect(stderr).toContain(`can't reach ${url}: ${reason}`);
  });

  test("one whose certificate is not trusted", async () => {
    const { code, stderr } = await list(["--server", guarded.url]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/^downlease: can't reach https:\S+: its certificate .* --ca\.\n$/);
  });

  test.each([
    ["that speaks no TLS", () => open.url.replace("http:", "https:")],
    ["that speaks only TLS", () => guarded.url.replace("https:", "http:")],
  ])("one %s", async (_, url) => {
    const { code, stderr } = await list(["--server", url()]);
    expect(code).toBe(5);
    expect(stderr).toMatch(/^downlease: can't reach [^\n]+\bhttp\b[^\n]+\bhttps\b[^\n]+\n$/);
  });

  test("one that closes connections without a word", async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stderr } = await list(["--server", url]);
    server.close();
    expect(code).toBe(5);
    expect(stderr).toMatch(/^downlease: can't reach [^\n]+\n$/);
  });
});

test("a server that is not downlease is called that", async () => {
  const { code, stderr } = await list(["--server", `${open.url}/nothing/here`]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/^downlease: [^\n]*Is this a downlease server[^\n]*\n$/);
});

test.each([
  [["--server", "ftp://host"], "must begin with http:// or https://"],
  [["--server", "nonsense"], "is not a URL"],
  [["--server", "http://user:pass@host"], "must not contain a user and password"],
  [["--cert", "only"], "no such file"],
  [["--ca", "nowhere.pem"], "no such file"],
])("%j is a mistake of usage", async (args, message) => {
  const { code, stdout, stderr } = await list(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toMatch(/^downlease: [^\n]+\n$/);
  expect(stderr).toContain(message);
});

test("an empty variable is unset", async () => {
  const { stderr } = await list([], { DOWNLEASE_SERVER: "", DOWNLEASE_TOKEN: "", DOWNLEASE_USER: "" });
  // Whether a service listens there or not, that is the one that was called.
  expect(stderr === "" || stderr.includes("http://127.0.0.1:8080")).toBe(true);
});

test.each([[["items"]], [["--help"]], [["items", "--json"]], [["completion", "zsh"]]])(
  "%j into a pipe without a reader ends with 0 and no message",
  async (args) => {
    const command = `'${process.execPath}' '${mainPath}' ${args.join(" ")} | :; echo "\${PIPESTATUS[0]}"`;
    const child = await startProcess("bash", ["-c", command], { env: { DOWNLEASE_SERVER: open.url } });
    await child.exited;
    expect({ stdout: child.stdout, stderr: child.stderr }).toEqual({ stdout: "0\n", stderr: "" });
  },
);

test("the variables of clients do not keep a service from starting", async () => {
  await using service = await startService([], {
    DOWNLEASE_SERVER: "http://127.0.0.1:1",
    DOWNLEASE_TOKEN: "t",
    DOWNLEASE_USER: "u",
    DOWNLEASE_PASSWORD: "p",
  });
  expect((await fetch(`${service.url}/readyz`)).status).toBe(200);
});
