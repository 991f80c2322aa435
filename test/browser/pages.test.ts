import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startService } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { findings } from "./support/axe.ts";
import { testBrowser } from "./support/browser.ts";
import { addItem, type ConsoleApp, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
let app: ConsoleApp;
let item: string;
let session: string;
beforeAll(async () => {
  app = await startConsoleApp(browser, { settings: { transferBandwidthMbps: "20" } });
  item = await addItem(app.contentRoot, "lib/photon", { "disk.img": Buffer.alloc(50_000_000) });
  const { sessions } = app.clientOf("alice");
  for (let count = 0; count < 30; count++) {
    const { downloadSessionId } = await sessions.create({ createSpec: { libraryItemId: item } });
    session = downloadSessionId;
    if (count === 3) await sessions.fail({ downloadSessionId, clientErrorMessage: "The disk is full." });
  }
});
afterAll(() => app?.stop());

const heading = (page: Page, name: string) =>
  page.getByRole("heading", { name, exact: true, level: 1 }).waitFor();
const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();

/** Each page as an operator sees it: its path, its heading, and how it comes to show what it has. */
const pages: Record<
  string,
  { path: () => string; title: string; heading?: string; show?: (page: Page) => Promise<unknown> }
> = {
  overview: {
    path: () => "/overview",
    title: "Overview",
    show: (page) => page.getByRole("figure").first().waitFor(),
  },
  sessions: {
    path: () => "/sessions",
    title: "Sessions",
    show: (page) => page.getByText("30 of 30 sessions").waitFor(),
  },
  "dialog that ends sessions": {
    path: () => "/sessions",
    title: "Sessions",
    async show(page) {
      await page.getByRole("checkbox").nth(1).check();
      await press(page, "End 1…");
      await page.getByText(/^Fail /).click();
      await page.getByText("1 will be ended").waitFor();
    },
  },
  session: {
    path: () => `/sessions/${session}`,
    title: "Session of alice",
    heading: "photon of alice",
    show: (page) => page.getByRole("region", { name: "Files" }).waitFor(),
  },
  libraries: {
    path: () => "/libraries",
    title: "Libraries",
    show: (page) => page.getByRole("link", { name: "photon" }).waitFor(),
  },
  "item, with a download": {
    path: () => `/items/${item}`,
    title: "photon",
    async show(page) {
      await press(page, "Download");
      await page.getByRole("complementary", { name: "Downloads" }).getByText("/s").waitFor();
    },
  },
  logins: {
    path: () => "/logins",
    title: "Logins and users",
    show: (page) => page.getByRole("region", { name: "Users" }).waitFor(),
  },
  settings: {
    path: () => "/settings",
    title: "Settings",
    async show(page) {
      await page.getByLabel("max calls").fill("77");
      await press(page, "Save…");
      await page.getByRole("alertdialog").waitFor();
    },
  },
  replicas: {
    path: () => "/replicas",
    title: "Replicas",
    show: (page) => page.getByRole("region", { name: "Replicas" }).waitFor(),
  },
  "path that leads nowhere": { path: () => "/nothing", title: "There is no such page" },
};

describe.each(Object.entries(pages))("%s", (_, { path, title, heading: name = title, show }) => {
  test("can be used by everybody, in light and dark, on a narrow screen", async () => {
    const page = await app.openAs("root", path(), { allows: /ERR_/ });
    await heading(page, name);
    await show?.(page);
    expect(await page.title()).toBe(`${title} – downlease`);
    expect(await findings(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await findings(page, ["color-contrast"])).toEqual([]);
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});

test("the page that asks for the password, and the one that leads to all others", async () => {
  for (const [path, name] of [
    ["/console/", "downlease"],
    ["/", "downlease"],
  ] as const) {
    const page = await browser.open(app.url + path);
    await heading(page, name);
    expect(await findings(page)).toEqual([]);
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await findings(page, ["color-contrast"])).toEqual([]);
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  }
});

test("the page of the API has every service, and tries an operation", async () => {
  const page = await app.openAs("root", "/../docs");
  await page.getByRole("heading", { name: /^com\.vmware\.content\.library / }).waitFor({ timeout: 30_000 });
});

test("colors are chosen, and kept", async () => {
  const page = await app.openAs("root", "/libraries");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByRole("button", { name: /^Colors: auto/ }).click();
  await page.getByRole("button", { name: /^Colors: light/ }).click();
  await page.getByRole("button", { name: /^Colors: dark/ }).waitFor();
  const dark = await background();
  expect(dark).not.toBe(light);
  await page.reload();
  await heading(page, "Libraries");
  expect(await background()).toBe(dark);
});

test("the way back leads through pages and their search, and the focus to each", async () => {
  const page = await app.openAs("root", "/libraries");
  await page.getByRole("searchbox").fill("pho");
  await page.getByRole("link", { name: "photon" }).click();
  await heading(page, "photon");
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("content");
  await page.goBack();
  await heading(page, "Libraries");
  expect(await page.getByRole("searchbox").inputValue()).toBe("pho");
  await page.reload();
  expect(await page.getByRole("searchbox").inputValue()).toBe("pho");
});

test("a lost connection is shown, and mends itself", async () => {
  const service = await startService(["--content-root", app.contentRoot]);
  await using proxy = await startTcpProxy(service.port);
  try {
    const page = await browser.open(`http://127.0.0.1:${proxy.port}/console/sessions`, { allows: /ERR_/ });
    const banner = page.getByText("The service does not answer", { exact: false });
    await page.getByText("There are no download sessions").waitFor();
    proxy.target = 1;
    proxy.cut();
    await banner.waitFor();
    proxy.target = service.port;
    await banner.waitFor({ state: "detached" });
  } finally {
    await service.kill();
  }
});

test("an error has what to do, and the id of the request", async () => {
  const page = await app.openAs("root", "/items/nothing");
  const alert = page.getByRole("alert");
  await alert.waitFor();
  expect(await alert.innerText()).toMatch(/'nothing'[\s\S]*Request [\w-]{8,}/);
});

test("the first view takes at most 200 kB, compressed, and nothing from elsewhere", async () => {
  const page = await app.openAs("root", "/overview");
  await heading(page, "Overview");
  await page.waitForLoadState("networkidle");
  const urls = await page.evaluate(() =>
    [location.href, ...performance.getEntriesByType("resource").map(({ name }) => name)].map(String),
  );
  expect(urls.filter((url) => new URL(url).origin !== app.url)).toEqual([]);
  const files = [...new Set(urls)].filter((url) => url.includes("/console/assets/"));
  const built = fileURLToPath(new URL("../../dist", import.meta.url));
  const sizeOf = (url: string) => {
    const path = built + new URL(url).pathname;
    return (statSync(`${path}.gz`, { throwIfNoEntry: false }) ?? statSync(path)).size;
  };
  const sum = files.reduce((total, url) => total + sizeOf(url), 0);
  process.stdout.write(`the first view: ${files.length} files, ${sum} bytes by gzip\n`);
  expect(files.length).toBeGreaterThan(10);
  expect(sum).toBeLessThan(200_000);
});
