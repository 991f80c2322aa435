import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loginHeader } from "../../src/calls/credentials.ts";
import { type StoreKind, startTestApp, storeKinds, type TestApp } from "../support/app.ts";
import { basic, cheapHash } from "../support/auth-calls.ts";
import { download, type Version } from "../support/download.ts";
import { linkTo } from "../support/links.ts";
import { addItem, openSession } from "../support/session-files.ts";
import { type TempDir, tempDir } from "../support/temp-dir.ts";

/** At the same time through 4 Mbit/s two files take two seconds, which is longer than a login session may be idle. */
const settings = { transferBandwidthMbps: "4", loginIdleSeconds: "1", loginLifetimeSeconds: "60" };
const fileBytes = 500_000;

describe.each(storeKinds)("a login session while files are fetched, %s", (kind: StoreKind) => {
  let directory: TempDir;
  let app: TestApp;
  beforeAll(async () => {
    directory = await tempDir();
    const usersFile = join(directory.path, "users");
    await writeFile(usersFile, `alice:${cheapHash("secret")}:\n`, { mode: 0o600 });
    app = await startTestApp({ store: kind, settings: { ...settings, usersFile } });
  });
  afterAll(async () => {
    await app.stop();
    await directory.remove();
  });

  async function logIn(): Promise<string> {
    const headers = { authorization: basic("alice", "secret") };
    const response = await fetch(`${app.url}/api/session`, { method: "POST", headers });
    return (await response.json()) as string;
  }

  async function linkOf(name: string, login: string): Promise<string> {
    const headers = { [loginHeader]: login };
    const itemId = await addItem(app.contentRoot, { [name]: Buffer.alloc(fileBytes, "x") });
    return linkTo(app.url, await openSession(app.url, itemId, headers), name, headers);
  }

  const statusWith = async (login: string) =>
    (await fetch(`${app.url}/api/session`, { headers: { [loginHeader]: login } })).status;

  test.concurrent.each<[Version, (login: string) => Record<string, string>]>([
    ["HTTP/1.1", (login) => ({ [loginHeader]: login })],
    ["HTTP/2", (login) => ({ cookie: `a=b; ${loginHeader}=${login}` })],
  ])("lives on by the bytes of a link that carries it, over %s", async (version, credentials) => {
    const [carried, left] = await Promise.all([logIn(), logIn()]);
    const link = await linkOf("first.bin", carried);
    const { status, body } = await download(version, link, { headers: credentials(carried) });
    expect([status, body.length]).toEqual([200, fileBytes]);
    expect([await statusWith(carried), await statusWith(left)]).toEqual([200, 401]);
    // The second file, as govc fetches it.
    const next = await linkOf("second.bin", carried);
    expect((await download(version, next, { headers: { range: "bytes=0-9" } })).status).toBe(206);
  });

  test("that does not exist is no obstacle to a link", async () => {
    const link = await linkOf("disk.bin", await logIn());
    for (const login of ["0".repeat(32), "nonsense"]) {
      const headers = { [loginHeader]: login, range: "bytes=0-9" };
      expect((await download("HTTP/1.1", link, { headers })).status).toBe(206);
    }
  });
});
