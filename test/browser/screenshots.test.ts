import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tempDir } from "../support/temp-dir.ts";
import { testBrowser } from "./support/browser.ts";
import { addItem, type ConsoleApp, startConsoleApp } from "./support/console-app.ts";
import { seedSessions } from "./support/seed-sessions.ts";

/** Where the pictures of docs/console.md are; a run without it writes none. */
const folder = fileURLToPath(new URL("../../docs/images", import.meta.url));
const areWanted = process.env.SCREENSHOTS !== undefined;

const browser = testBrowser();
let app: ConsoleApp;
let photon: string;
const directory = areWanted ? await tempDir() : undefined;

const files = { "disk-1.vmdk": Buffer.alloc(250_000_000, "d"), "photon.ovf": Buffer.alloc(9_100, "o") };
const others = ["images/debian-13", "images/windows-2025", "appliances/harbor", "appliances/vcenter-9"];

describe.runIf(areWanted)("pictures of the console", () => {
  beforeAll(async () => {
    await mkdir(folder, { recursive: true });
    const sqlitePath = join(directory!.path, "sessions.db");
    app = await startConsoleApp(browser, { settings: { sqlitePath, transferBandwidthMbps: "80" } });
    photon = await addItem(app.contentRoot, "images/photon-5.0", files);
    const itemIds = [photon];
    for (const name of others)
      itemIds.push(await addItem(app.contentRoot, name, { "disk.vmdk": Buffer.alloc(30_000_000, name) }));
    const owners = ["ansible", "build-farm", "carol", "edge-paris", "edge-tokyo", "terraform"];
    seedSessions(sqlitePath, { count: 146, itemIds, owners });
  }, 60_000);
  afterAll(async () => {
    await app?.stop();
    await directory?.remove();
  });

  const take = async (page: Page, name: string) => {
    const path = join(folder, `console-${name}.png`);
    await page.screenshot({ path });
    expect((await stat(path)).size).toBeLessThan(150_000);
  };

  test.each(["light", "dark"] as const)("in %s", { timeout: 120_000 }, async (colorScheme) => {
    const options = { colorScheme, viewport: { width: 1200, height: 750 }, allows: /ERR_/ } as const;
    const page = await app.openAs("root", `/items/${photon}`, options);
    await page.getByRole("button", { name: "Download", exact: true }).click();
    await page.getByRole("complementary", { name: "Downloads" }).getByText("left").waitFor();
    await take(page, `download-${colorScheme}`);
    await page.getByRole("link", { name: "Overview" }).click();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.waitForTimeout(8_000);
    await take(page, `overview-${colorScheme}`);
    await page.getByRole("link", { name: "Sessions" }).click();
    await page.getByRole("button", { name: "Rate" }).click();
    await page.getByRole("button", { name: "Rate" }).click();
    await page.getByRole("row").getByText("/s").first().waitFor();
    await take(page, `sessions-${colorScheme}`);
    await page.getByRole("link", { name: "Settings" }).click();
    await page.getByLabel("lease (seconds)").fill("600");
    await page.getByRole("button", { name: "Save…" }).click();
    await page.getByRole("alertdialog").waitFor();
    await take(page, `settings-${colorScheme}`);
  });
});
