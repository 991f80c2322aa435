import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { startService } from "../support/service.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { tempDir } from "../support/temp-dir.ts";
import { testBrowser } from "./support/browser.ts";
import { addItem, bytesOf, type ConsoleApp, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const tray = (page: Page) => page.getByRole("complementary", { name: "Downloads" });
const start = (page: Page) => page.getByRole("button", { name: "Download", exact: true }).click();

/** Size and SHA-256 of what a page has saved; undefined: there is no such file. */
function saved(page: Page, name: string) {
  return page.evaluate(async (name) => {
    const folder = await navigator.storage.getDirectory();
    const handle = await folder.getFileHandle(name).catch(() => undefined);
    if (handle === undefined) return undefined;
    const file = await handle.getFile();
    const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return { size: file.size, sha256: hex };
  }, name);
}

test("a large file is saved, though the replica is killed, in bounded memory", async () => {
  await using directory = await tempDir();
  const bytes = bytesOf(200_000_000);
  const id = await addItem(directory.path, "lib/large", { "disk.img": bytes });
  await using redis = await startRedis();
  const args = ["--content-root", directory.path, "--redis-url", redis.url, "--console", "on"];
  const [first, second] = await Promise.all(
    [1, 2].map(() => startService([...args, "--transfer-bandwidth-mbps", "400"])),
  );
  await using proxy = await startTcpProxy(first!.port);
  try {
    const page = await browser.open(`http://127.0.0.1:${proxy.port}/console/items/${id}`, {
      // What the killed replica was sending.
      allows: /ERR_/,
    });
    await start(page);
    const percent = async () => Number(await tray(page).getByRole("progressbar").getAttribute("value"));
    await eventually("a fifth of the file", async () => (await percent()) > 20, { withinMs: 30_000 });
    const megabytesBefore = await browser.pageMegabytes();
    await first!.kill();
    expect(await percent()).toBeLessThan(90);
    proxy.target = second!.port;
    let most = 0;
    await eventually(
      "the end of the download",
      async () => {
        most = Math.max(most, await browser.pageMegabytes());
        return tray(page).getByText("Done, verified.").isVisible();
      },
      { withinMs: 40_000, everyMs: 200 },
    );
    expect(await saved(page, "disk.img")).toEqual({ size: bytes.length, sha256: sha256(bytes) });
    // The file would take 160 megabytes more.
    expect(most - megabytesBefore).toBeLessThan(100);
  } finally {
    await Promise.all([first, second].map((service) => service!.kill()));
  }
});

describe("with users", () => {
  let app: ConsoleApp;
  const bytes = bytesOf(3_000_000);
  let small: string;
  let slow: string;
  beforeAll(async () => {
    // Pages need the bytes of the service, even where others send the files.
    const settings = { transferBandwidthMbps: "40", offload: "x-accel-redirect" };
    app = await startConsoleApp(browser, { settings });
    small = await addItem(app.contentRoot, "lib/small", {
      "a.bin": bytes.subarray(0, 70_000),
      "b.txt": Buffer.from("b"),
    });
    slow = await addItem(app.contentRoot, "lib/slow", { "disk.img": bytesOf(90_000_000) });
  });
  afterAll(() => app?.stop());

  test("a browser that lets no page write saves the files by their links", async () => {
    const page = await app.openAs("alice", `/items/${small}`, { cannotWriteFiles: true });
    const downloads: Promise<[string, string]>[] = [];
    page.on("download", (download) => {
      const read = async (): Promise<[string, string]> => [
        download.suggestedFilename(),
        sha256(await readFile(await download.path())),
      ];
      downloads.push(read());
    });
    await start(page);
    await tray(page).getByText("Done.").waitFor();
    expect(Object.fromEntries(await Promise.all(downloads))).toEqual({
      "a.bin": sha256(bytes.subarray(0, 70_000)),
      "b.txt": sha256(Buffer.from("b")),
    });
    const { downloadSessionIds } = await app.clientOf("alice").sessions.list({});
    expect(downloadSessionIds).toEqual([]);
  });

  test("a download goes on on other pages, and the browser asks before it is left", async () => {
    const page = await app.openAs("alice", `/items/${slow}`, {
      // What is cut when the session ends.
      allows: /dialog: beforeunload|ERR_/,
    });
    await start(page);
    await page.getByRole("link", { name: "Libraries" }).click();
    await tray(page)
      .getByText(/MiB of 85.8 MiB/)
      .waitFor();
    const dialog = page.waitForEvent("dialog");
    await page.close({ runBeforeUnload: true });
    expect((await dialog).type()).toBe("beforeunload");
    await tray(page).getByRole("button", { name: "Cancel" }).click();
    await tray(page).getByText("Canceled.").waitFor();
    await eventually("no file", async () => (await saved(page, "disk.img")) === undefined);
    await tray(page).getByRole("button", { name: "Close" }).click();
    await tray(page).waitFor({ state: "detached" });
    // The same item once more.
    await page.goBack();
    await start(page);
    await tray(page).getByRole("button", { name: "Cancel" }).click();
  });

  test("an operator sees how fast it is, and how long it takes", async () => {
    const page = await app.openAs("alice", `/items/${slow}`, { allows: /ERR_/ });
    await start(page);
    const operator = await app.openAs("root", "/sessions?state=ACTIVE");
    const row = operator.getByRole("row").filter({ hasText: "alice" });
    await row.getByText("MiB/s").waitFor();
    await row.getByText(/^0:\d\d$/).waitFor();
    await tray(page).getByRole("button", { name: "Cancel" }).click();
  });

  test.each(["cancel", "fail", "delete"] as const)("says so when an operator ends it: %s", async (ending) => {
    const page = await app.openAs("alice", `/items/${slow}`, { allows: /status of 404|ERR_/ });
    await start(page);
    const link = tray(page).getByRole("link", { name: "session" });
    const href = (await link.getAttribute("href"))!;
    const downloadSessionId = decodeURIComponent(href.split("/").at(-1)!);
    await tray(page).getByText(/\/s/).waitFor();
    const { sessions } = app.clientOf("root");
    if (ending === "fail") await sessions.fail({ downloadSessionId, clientErrorMessage: "No more disks." });
    else await sessions[ending]({ downloadSessionId });
    const alert = tray(page).getByRole("alert");
    await alert.waitFor();
    expect(await alert.innerText()).toMatch(
      { cancel: /canceled/, fail: /No more disks/, delete: /expired or was deleted/ }[ending],
    );
    expect(await saved(page, "disk.img")).toBeUndefined();
  });
});
