import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Page } from "playwright-core";
import { connect, type Downlease } from "../../../src/client/index.ts";
import { startTestApp, type TestApp, type TestAppOptions } from "../../support/app.ts";
import { basic, cheapHash } from "../../support/auth-calls.ts";
import { tempDir } from "../../support/temp-dir.ts";
import type { Cookie, PageOptions, TestBrowser } from "./browser.ts";

/** The service with a user, and one who has the role `admin`; the password of either is the name. */
export interface ConsoleApp extends TestApp {
  /** Address of a page of the console, for example of `/sessions`. */
  page(path?: string): string;
  /** Opens a page of the console as a user who has logged in. */
  openAs(user: "alice" | "root", path: string, options?: PageOptions): Promise<Page>;
  /** Another client. */
  clientOf(user: "alice" | "root"): Downlease;
}

export async function startConsoleApp(
  browser: TestBrowser,
  { settings, ...options }: TestAppOptions = {},
): Promise<ConsoleApp> {
  const directory = await tempDir();
  const usersFile = join(directory.path, "users");
  const users = [`alice:${cheapHash("alice")}:`, `root:${cheapHash("root")}:admin`];
  await writeFile(usersFile, `${users.join("\n")}\n`, { mode: 0o600 });
  const app = await startTestApp({ ...options, settings: { usersFile, ...settings } });
  const clients: Downlease[] = [];
  return {
    ...app,
    page: (path = "/") => `${app.url}/console${path}`,
    async openAs(user, path, pageOptions) {
      const cookies = [await logInOver(app.url, user)];
      return browser.open(`${app.url}/console${path}`, { ...pageOptions, cookies });
    },
    clientOf(user) {
      const client = connect({ url: app.url, user, password: user });
      clients.push(client);
      return client;
    },
    async stop() {
      await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
      await app.stop();
      await directory.remove();
    },
  };
}

/** The cookie of a new login session. */
async function logInOver(url: string, user: string): Promise<Cookie> {
  const response = await fetch(`${url}/com/vmware/cis/session`, {
    method: "POST",
    headers: { authorization: basic(user, user) },
  });
  const [cookie = ""] = response.headers.getSetCookie();
  const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
  return { name, value, url, httpOnly: true, sameSite: "Strict" };
}

/** Logs in on the page that asks for it. */
export async function logIn(page: Page, user: string, password = user): Promise<void> {
  await page.getByRole("textbox", { name: "User" }).fill(user);
  await page.getByRole("textbox", { name: "Password" }).fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** Adds an item. @param name of its library and of itself: `lib/photon` @returns its id */
export async function addItem(
  contentRoot: string,
  name: string,
  files: Readonly<Record<string, Uint8Array>>,
): Promise<string> {
  const id = crypto.randomUUID();
  const item = join(contentRoot, name);
  await mkdir(item, { recursive: true });
  await writeFile(join(item, ".item.json"), JSON.stringify({ id, name: basename(name) }));
  for (const [file, bytes] of Object.entries(files)) await writeFile(join(item, file), bytes);
  return id;
}

/** Bytes that differ from each other, the same ones each time. */
export function bytesOf(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index += 4096) bytes.writeUInt32LE(index, index);
  return bytes;
}
