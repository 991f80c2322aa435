import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { connect, type Downlease } from "../../../src/client/index.ts";
import { startTestApp, type TestApp, type TestAppOptions } from "../../support/app.ts";
import { cheapHash } from "../../support/auth-calls.ts";
import { tempDir } from "../../support/temp-dir.ts";

/** The service with a user, and one who has the role `admin`; the password of either is the name. */
export interface ConsoleApp extends TestApp {
  /** Address of a page of the console, for example of `/sessions`. */
  page(path?: string): string;
  /** Another client. */
  clientOf(user: "alice" | "root"): Downlease;
}

export async function startConsoleApp({ settings, ...options }: TestAppOptions = {}): Promise<ConsoleApp> {
  const directory = await tempDir();
  const usersFile = join(directory.path, "users");
  const users = [`alice:${cheapHash("alice")}:`, `root:${cheapHash("root")}:admin`];
  await writeFile(usersFile, `${users.join("\n")}\n`, { mode: 0o600 });
  const app = await startTestApp({ ...options, settings: { usersFile, ...settings } });
  const clients: Downlease[] = [];
  return {
    ...app,
    page: (path = "/") => `${app.url}/console${path}`,
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

/** Logs in on the page that asks for it. */
export async function logIn(page: Page, user: string, password = user): Promise<void> {
  await page.getByRole("textbox", { name: "User" }).fill(user);
  await page.getByRole("textbox", { name: "Password" }).fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}

/** An item with one file of zeros, which takes no room on the disk. @returns the item's id */
export async function addLargeItem(app: TestApp, name: string, size: number): Promise<string> {
  const id = crypto.randomUUID();
  const item = join(app.contentRoot, "lib", name);
  await mkdir(item);
  await writeFile(join(item, ".item.json"), JSON.stringify({ id, name }));
  await writeFile(join(item, "disk.bin"), Buffer.alloc(size));
  return id;
}
