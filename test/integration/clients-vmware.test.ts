import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "../support/certificates.ts";
import { ansible, ansibleCollections, currentGovc, vmwareSdk } from "../support/client-tools.ts";
import { readSection } from "../support/pages.ts";
import { type PeerTool, reasonAgainstTools } from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";
import { type Service, startService } from "../support/service.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

const root = resolve(import.meta.dirname, "../..");
const timeout = 120_000;

let scratch: TempDir;
let service: Service;
let secured: Service;
let authority: string;
/** `host:port` of the service with TLS. */
let address: string;
beforeAll(async () => {
  scratch = await tempDir();
  const alternativeNames = "DNS:localhost,IP:127.0.0.1";
  const certificate = await makeCertificate(scratch.path, "server", {
    subject: "/CN=localhost",
    alternativeNames,
  });
  authority = certificate.path;
  [service, secured] = await Promise.all([
    startService([]),
    startService(["--tls-cert", certificate.path, "--tls-key", certificate.keyPath]),
  ]);
  address = `localhost:${secured.port}`;
});
afterAll(async () => {
  await Promise.all([service?.stop(), secured?.stop()]);
  await scratch?.remove();
});

/** The `test` for what needs a tool: skipped under its name, with the reason, where the tool is unavailable. */
function testWith(tool: PeerTool): (name: string, run: () => Promise<void>) => void {
  const reason = reasonAgainstTools([tool]);
  if (reason === undefined) return (name, run) => test(name, { timeout }, run);
  return (name) => test.skip(`${name} (skipped: ${reason})`);
}

/** Runs a program that has to succeed; resolves with its standard output. */
async function outputOf(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const program = await startProcess(command, args, { cwd: root, env });
  const { code } = await program.exited;
  expect(code, `${args.join(" ")}: ${program.stderr}${program.stdout}`).toBe(0);
  return program.stdout;
}

const photon = {
  "photon-disk1.vmdk": "77ff82d23688d10fc2a528356116d7ab075fcc95a7b07486bd1cbb279c04b098",
  "photon.ovf": "fbadfc6287503b812cde53d12870d951bfcc90d5adfd838f2e2e71f64fe7c431",
};

async function digestsOf(directory: string): Promise<Record<string, string>> {
  const names = (await readdir(directory)).sort();
  const files = names.map(async (name) => {
    const bytes = await readFile(join(directory, name));
    return [name, createHash("sha256").update(bytes).digest("hex")];
  });
  return Object.fromEntries(await Promise.all(files));
}

describe("today's govc", () => {
  const govc = (...args: string[]) =>
    outputOf(currentGovc.path, args, {
      GOVC_URL: `http://alice:secret@127.0.0.1:${service.port}`,
      GOVMOMI_HOME: join(scratch.path, "govmomi"),
    });

  testWith(currentGovc)("logs in and out, over SOAP and over REST", async () => {
    expect(await govc("about")).toContain("downlease");
    await govc("session.login", "-r");
    await govc("session.logout", "-r");
    await govc("session.login");
    await govc("session.logout");
  });

  testWith(currentGovc)("looks libraries and items up", async () => {
    expect(await govc("library.ls")).toBe("/demo\n");
    expect(await govc("library.ls", "/demo/*")).toBe("/demo/photon\n/demo/tools-iso\n");
    const info = JSON.parse(await govc("library.info", "-json", "/demo/photon"));
    expect(info).toMatchObject([{ id: "photon", library_id: "demo", type: "ovf", size: 8792 }]);
  });

  testWith(currentGovc)("exports an item, and shows and removes its session", async () => {
    await using directory = await tempDir();
    await govc("library.export", "/demo/photon", directory.path);
    expect(await digestsOf(directory.path)).toEqual(photon);
    const shown = await govc("library.session.ls");
    const [id] = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(shown) ?? [];
    expect(shown).toContain("ACTIVE");
    await govc("library.session.rm", id!);
    expect(await govc("library.session.ls")).not.toContain(id);
  });
});

describe("VMware's SDK for Python", () => {
  testWith(vmwareSdk)("looks up, keeps a session alive, downloads, cancels and deletes", async () => {
    await using directory = await tempDir();
    const args = [address, authority, "alice", "secret", "photon", directory.path];
    const program = "examples/clients/python/vmware_sdk.py";
    expect(await outputOf(vmwareSdk.python, [program, ...args])).toBe(
      [
        "libraries: demo",
        "kept alive: ACTIVE progress 40",
        "photon-disk1.vmdk: 8192 bytes, SHA256 verified",
        "photon.ovf: 600 bytes, SHA256 verified",
        "canceled: CANCELED",
        "keep-alive: not allowed in current state",
        "deleted: not found\n",
      ].join("\n"),
    );
    expect(await digestsOf(directory.path)).toEqual(photon);
  });
});

describe("Ansible", () => {
  const environment = () => ({
    ANSIBLE_COLLECTIONS_PATH: ansibleCollections,
    ANSIBLE_HOME: join(scratch.path, "ansible"),
    ANSIBLE_PYTHON_INTERPRETER: ansible.python,
    ANSIBLE_DEPRECATION_WARNINGS: "false",
    ANSIBLE_NOCOLOR: "1",
    REQUESTS_CA_BUNDLE: authority,
    SSL_CERT_FILE: authority,
    LC_ALL: "C.UTF-8",
  });

  /** The result of one module. */
  async function resultOf(module: string, options: object): Promise<Record<string, unknown>> {
    const args = [
      "localhost",
      "-i",
      "localhost,",
      "-c",
      "local",
      "-m",
      module,
      "-a",
      JSON.stringify(options),
    ];
    const stdout = await outputOf(join(ansible.python, "../ansible"), args, environment());
    return JSON.parse(stdout.slice(stdout.indexOf("{")));
  }

  const byRest = () => ({
    vcenter_hostname: address,
    vcenter_username: "alice",
    vcenter_password: "secret",
    vcenter_validate_certs: false,
  });
  const bySdk = () => ({
    hostname: "localhost",
    port: secured.port,
    username: "alice",
    password: "secret",
    validate_certs: true,
  });
  const library = { id: "demo", name: "demo", type: "LOCAL" };
  const item = { id: "photon", library_id: "demo", type: "ovf" };

  const modules: readonly [module: string, options: object, result: object][] = [
    ["content_library_info", {}, { value: [library] }],
    ["content_locallibrary_info", {}, { value: [library] }],
    ["content_subscribedlibrary_info", {}, { value: [] }],
    ["content_library_item_info", { library_item_id: "photon" }, { id: "photon", value: item }],
    ["content_configuration_info", {}, { value: { transfer_throttling_bandwidth_total: 0 } }],
  ];
  for (const [module, options, result] of modules) {
    testWith(ansible)(`vmware.vmware_rest.${module}`, async () => {
      const answer = await resultOf(`vmware.vmware_rest.${module}`, { ...byRest(), ...options });
      expect(answer).toMatchObject(result);
    });
  }

  testWith(ansible)("vmware.vmware.content_library_item_info, with storage", async () => {
    const module = "vmware.vmware.content_library_item_info";
    expect(
      await resultOf(module, { ...bySdk(), library_name: "demo", library_item_name: "photon" }),
    ).toMatchObject({
      library_item_info: [item],
    });
  });

  testWith(ansible)("community.vmware.vmware_content_library_info", async () => {
    const module = "community.vmware.vmware_content_library_info";
    expect(await resultOf(module, bySdk())).toMatchObject({ content_libs: ["demo"] });
  });

  testWith(ansible)("the playbook of docs/clients.md downloads an item", async () => {
    const [, playbook = ""] = /```yaml\n([\s\S]*?)```/.exec(readSection("docs/clients.md", "Ansible"))!;
    await using directory = await tempDir();
    const path = join(directory.path, "playbook.yml");
    await writeFile(path, playbook);
    const target = join(directory.path, "downloads");
    const variables = { vcenter: address, directory: target };
    const args = ["-i", "localhost,", path, "-e", JSON.stringify(variables)];
    await outputOf(join(ansible.python, "../ansible-playbook"), args, environment());
    expect(await digestsOf(target)).toEqual(photon);
  });
});
