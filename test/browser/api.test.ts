import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type TempDir, tempDir } from "../support/temp-dir.ts";
import { newIssuer, settingsFor } from "../support/tokens.ts";
import { testBrowser } from "./support/browser.ts";
import { type ConsoleApp, logIn, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
let directory: TempDir;
let app: ConsoleApp;
let token: string;
beforeAll(async () => {
  directory = await tempDir();
  const issuer = await newIssuer();
  const tokens = await settingsFor(issuer, directory.path);
  app = await startConsoleApp(browser, { settings: tokens });
  token = await issuer.token({ sub: "bob" });
});
afterAll(async () => {
  await app?.stop();
  await directory.remove();
});

const themes = [["light"], ["dark"]] as const;
const axeScript = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** Rules that Swagger UI itself breaks where an operation is open: some colors, fields and lists without a label. */
const ownBarriers = /^\w+ (?:color-contrast|label|nested-interactive|select-name):/;

/** What is wrong for people who see or handle a page in another way, by its rule and weight. */
async function barriersOn(page: Page): Promise<string[]> {
  await page.evaluate(await readFile(axeScript, "utf8"));
  const { violations } = await page.evaluate(() =>
    (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run(),
  );
  return violations.map(
    ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html }) => html).join("\n")}`,
  );
}

async function seriousBarriersOn(page: Page): Promise<string[]> {
  return (await barriersOn(page)).filter((barrier) => /^(?:serious|critical)/.test(barrier));
}

/** Opens an operation on the page of the API. */
async function openOperation(page: Page, service: string, operation: string): Promise<void> {
  await page.goto(`${app.url}/docs#/${service}/${operation}`);
  // The page looks for the operation when it loads.
  await page.reload();
  await page.locator(".opblock.is-open").waitFor();
}

/** Sends the request of the operation that is open, and returns the status that the page shows. */
async function tryOut(page: Page): Promise<string> {
  const block = page.locator(".opblock.is-open");
  await block.getByRole("button", { name: "Execute" }).click();
  const status = block.locator(".live-responses-table .response-col_status").last();
  return (await status.innerText()).split("\n")[0]!.trim();
}

describe("/docs", () => {
  test.each(themes)("shows every service, without serious barriers: %s", async (colorScheme) => {
    const page = await browser.open(`${app.url}/docs`, { colorScheme });
    const tags = page.locator(".opblock-tag");
    await tags.first().waitFor();
    expect(await tags.count()).toBeGreaterThan(10);
    const background = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    expect(background).toBe(colorScheme === "dark" ? "rgb(28, 32, 34)" : "rgba(0, 0, 0, 0)");
    expect(await seriousBarriersOn(page)).toEqual([]);
    await page.locator('[data-tag="com.vmware.content.library.item.download_session"]').click();
    await page.getByText("/download-session/{download_session_id}?action=keep-alive").click();
    await page.getByRole("button", { name: "Execute" }).waitFor();
    const barriers = await seriousBarriersOn(page);
    expect(barriers.filter((barrier) => !ownBarriers.test(barrier))).toEqual([]);
  });

  test("tries a request with the login of the console, and with a token", async () => {
    const page = await browser.open(app.page("/libraries"), { allows: /status of 401/ });
    const own = ["com.vmware.cis.session", "cis.session.get"] as const;
    await openOperation(page, ...own);
    expect(await tryOut(page)).toBe("401");
    await page.goto(app.page("/libraries"));
    await logIn(page, "alice");
    await page.getByRole("heading", { name: "Libraries" }).waitFor();
    await openOperation(page, ...own);
    expect(await tryOut(page)).toBe("200");
    expect(await page.locator(".live-responses-table").innerText()).toContain('"user": "alice"');
    await page.context().clearCookies();
    await openOperation(page, "com.vmware.content.library", "content.library.list");
    await page.getByRole("button", { name: "Authorize" }).first().click();
    const dialog = page.locator(".dialog-ux");
    await dialog.locator("#auth-bearer-value").fill(token);
    await dialog
      .locator(".auth-container", { hasText: "bearer" })
      .getByRole("button", { name: "Apply" })
      .click();
    await dialog.locator(".close-modal").click();
    expect(await tryOut(page)).toBe("200");
  });

  test("fits a narrow screen", async () => {
    const page = await browser.open(`${app.url}/docs`, { viewport: { width: 360, height: 700 } });
    await page.locator(".opblock-tag").first().waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  });
});

describe("/", () => {
  test.each(themes)("leads to all pages, without barriers: %s", async (colorScheme) => {
    const page = await browser.open(`${app.url}/`, { colorScheme });
    expect(await barriersOn(page)).toEqual([]);
    const targets = await page
      .getByRole("link")
      .evaluateAll((links) => links.map((link) => (link as HTMLAnchorElement).href));
    expect(targets.length).toBeGreaterThanOrEqual(4);
    for (const target of targets) expect([target, (await fetch(target)).status]).toEqual([target, 200]);
  });
});
