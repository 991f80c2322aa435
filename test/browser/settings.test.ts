import type { Page } from "playwright-core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { testBrowser } from "./support/browser.ts";
import { type ConsoleApp, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
let app: ConsoleApp;
beforeEach(async () => {
  app = await startConsoleApp(browser);
});
afterEach(() => app.stop());

const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();
const field = (page: Page, label: string) => page.getByLabel(label, { exact: true });

async function settingOf(name: string): Promise<[value: string | undefined, source: string | undefined]> {
  const { settings } = await app.clientOf("root").admin.getSettings({});
  const setting = settings?.settings.find((each) => each.name === name);
  return [setting?.value, setting?.source];
}

test("a change is shown before it is saved, and taken back", async () => {
  const page = await app.openAs("root", "/settings");
  await field(page, "max calls").fill("77");
  await field(page, "log level").selectOption("warn");
  await press(page, "Save…");
  const dialog = page.getByRole("alertdialog");
  const rows = dialog.getByRole("row");
  expect(await rows.allInnerTexts()).toEqual([
    "Setting\tNow\tNew",
    expect.stringMatching(/^max_calls\s+1000\s+77$/),
    expect.stringMatching(/^log_level\s+info\s+warn$/),
  ]);
  await press(page, "Save");
  await dialog.waitFor({ state: "detached" });
  expect(await settingOf("max_calls")).toEqual(["77", "changed"]);
  await page.getByText("In force: 77", { exact: false }).waitFor();
  await press(page, "Reset to 1000: max_calls");
  await press(page, "Save…");
  await press(page, "Save");
  await dialog.waitFor({ state: "detached" });
  expect(await settingOf("max_calls")).toEqual(["1000", "default"]);
  expect(await settingOf("log_level")).toEqual(["warn", "changed"]);
});

test("what others have changed meanwhile is shown, and not overwritten", async () => {
  const page = await app.openAs("root", "/settings");
  await field(page, "max calls").fill("77");
  const { admin } = app.clientOf("root");
  await admin.updateSettings({ values: { maxCalls: 88n, maxTransfers: 9n } });
  const conflict = page.getByRole("alert").filter({ hasText: "Somebody else has changed the settings" });
  await conflict.waitFor();
  // Who saves nevertheless is refused.
  await press(page, "Save…");
  const dialog = page.getByRole("alertdialog");
  await press(page, "Save");
  await dialog.getByRole("alert").waitFor();
  expect(await dialog.getByRole("button", { name: "Save" }).isDisabled()).toBe(true);
  expect((await settingOf("max_calls"))[0]).toBe("88");
  await press(page, "Back");
  await press(page, "Keep my changes, on the new version");
  await press(page, "Save…");
  expect(await dialog.getByRole("row").last().innerText()).toMatch(/^max_calls\s+88\s+77$/);
  await press(page, "Save");
  await dialog.waitFor({ state: "detached" });
  expect((await settingOf("max_calls"))[0]).toBe("77");
  expect((await settingOf("max_transfers"))[0]).toBe("9");
});

test("a value that is wrong is refused with what it may be", async () => {
  const page = await app.openAs("root", "/settings");
  for (const [text, message] of [
    ["many", /max_calls must be a number/],
    ["0.5", /whole numbers/],
    ["-1", /max_calls/],
  ] as const) {
    await field(page, "max calls").fill(text);
    await press(page, "Save…");
    await press(page, "Save");
    const alert = page.getByRole("alertdialog").getByRole("alert");
    await alert.waitFor();
    expect(await alert.innerText()).toMatch(message);
    await press(page, "Back");
  }
  expect(await settingOf("max_calls")).toEqual(["1000", "default"]);
});
