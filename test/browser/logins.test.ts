import { afterEach, beforeEach, expect, test } from "vitest";
import { testBrowser } from "./support/browser.ts";
import { type ConsoleApp, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
let app: ConsoleApp;
beforeEach(async () => {
  app = await startConsoleApp(browser);
});
afterEach(() => app.stop());

test("a user is logged out everywhere, after a question, and on their page at once", async () => {
  const alice = await app.openAs("alice", "/libraries");
  await alice.getByRole("heading", { name: "Libraries" }).waitFor();
  const page = await app.openAs("root", "/logins");
  const users = page.getByRole("region", { name: "Users" });
  await users.getByRole("row").filter({ hasText: "alice" }).getByText("1", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Log out alice everywhere" }).click();
  const dialog = page.getByRole("alertdialog");
  await dialog.getByRole("button", { name: "End" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByText("alice").nth(1).waitFor({ state: "detached" });
  await alice.getByRole("link", { name: "Sessions" }).click();
  await alice.getByRole("textbox", { name: "User" }).waitFor();
  const { page: left } = await app.clientOf("root").admin.listLogins({});
  expect(new Set(left?.logins.map(({ principal }) => principal))).toEqual(new Set(["root"]));
});
