import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Downlease } from "../../src/client/index.ts";
import { eventually } from "../support/eventually.ts";
import { testBrowser } from "./support/browser.ts";
import { type ConsoleApp, startConsoleApp } from "./support/console-app.ts";

const browser = testBrowser();
let app: ConsoleApp;
let alice: Downlease;
let item: string;
beforeAll(async () => {
  app = await startConsoleApp(browser);
  alice = app.clientOf("alice");
  item = await app.addItem();
});
afterAll(() => app?.stop());

async function createSession(): Promise<string> {
  const { downloadSessionId } = await alice.sessions.create({ createSpec: { libraryItemId: item } });
  return downloadSessionId;
}

const stateOf = async (id: string) =>
  (await alice.sessions.get({ downloadSessionId: id })).downloadSession?.state;

/** The page of the sessions, with one session, found by its id. */
async function openSession(user: "alice" | "root", id: string) {
  const page = await app.openAs(user, `/sessions?search=${id}`);
  const row = page.getByRole("row").filter({ has: page.getByTitle(id) });
  await row.waitFor();
  return { page, row };
}

describe.each(["root", "alice"] as const)("%s", (user) => {
  const isAdmin = user === "root";

  test("sees what other clients do, within moments", async () => {
    const id = await createSession();
    const { page, row } = await openSession(user, id);
    const before = performance.now();
    await alice.sessions.keepAlive({ downloadSessionId: id, progress: 42n });
    await row.getByText("42 %").waitFor();
    // An operator sees it within a second; the rest is for the machine.
    const seenAfterMs = performance.now() - before;
    expect(seenAfterMs).toBeLessThan(isAdmin ? 4_000 : 6_000);
    await alice.sessions.cancel({ downloadSessionId: id });
    await row.getByText("CANCELED").waitFor();
    await alice.sessions.delete({ downloadSessionId: id });
    await (isAdmin ? row.getByText("deleted") : page.getByText(/^0 of/)).waitFor();
  });

  test("cancels a session by the keyboard, after a preview", async () => {
    const id = await createSession();
    const { page } = await openSession(user, id);
    await page.getByRole("searchbox").focus();
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? "");
    await eventually("the focus on the row", async () => {
      await page.keyboard.press("Tab");
      return (await focused()).startsWith("Select the session");
    });
    await page.keyboard.press("Space");
    const end = page.getByRole("button", { name: "End 1…" });
    await eventually("the focus on the button", async () => {
      await page.keyboard.press("Shift+Tab");
      return end.evaluate((element) => element === document.activeElement);
    });
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("alertdialog");
    await dialog.getByText("1 will be ended").waitFor();
    expect(await stateOf(id)).toBe(1);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    expect(await end.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.keyboard.press("Enter");
    await dialog.getByText("1 will be ended").waitFor();
    await page.keyboard.press("Enter");
    await dialog.getByText("1 were ended").waitFor();
    await page.keyboard.press("Enter");
    await dialog.waitFor({ state: "hidden" });
    expect(await stateOf(id)).toBe(2);
  });

  test("fails a session with a text that its owner reads, then deletes it", async () => {
    const id = await createSession();
    const { page, row } = await openSession(user, id);
    await row.getByRole("link").click();
    await page.getByRole("button", { name: "End…" }).click();
    const dialog = page.getByRole("alertdialog");
    await dialog.getByText("Fail", { exact: false }).first().click();
    await dialog.getByRole("button", { name: "End" }).isDisabled();
    await dialog.getByRole("textbox").fill("The disk is full.");
    await dialog.getByRole("button", { name: "End" }).click();
    await dialog.getByText("1 were ended").waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    const { downloadSession } = await alice.sessions.get({ downloadSessionId: id });
    expect(downloadSession).toMatchObject({
      state: 3,
      errorMessage: { defaultMessage: expect.stringContaining("The disk is full.") },
    });
    await page.getByText("The disk is full.").waitFor();
    await page.getByRole("button", { name: "End…" }).click();
    await dialog.getByText("Delete", { exact: false }).first().click();
    await dialog.getByRole("button", { name: "End" }).click();
    await dialog.getByText("1 were ended").waitFor();
    await dialog.getByRole("button", { name: "Close" }).click();
    await expect(stateOf(id)).rejects.toThrow(/not_found/);
    await page
      .getByText(/^deleted$|^The session is gone/)
      .first()
      .waitFor();
  });
});

test("watching does not hold a lease", async () => {
  const id = await createSession();
  const expiry = async () =>
    (await alice.sessions.get({ downloadSessionId: id })).downloadSession?.expirationTime;
  const before = await expiry();
  const watch = async (user: "alice" | "root") => {
    const { page, row } = await openSession(user, id);
    await row.getByRole("link").click();
    await page.getByRole("region", { name: "Files" }).getByText("disk.bin").waitFor();
    // It is read again meanwhile.
    await page.waitForTimeout(2_500);
  };
  await Promise.all([watch("root"), watch("alice")]);
  expect(await expiry()).toEqual(before);
});

test("nobody sees the session of another user", async () => {
  const { downloadSessionId } = await app
    .clientOf("root")
    .sessions.create({ createSpec: { libraryItemId: item } });
  const page = await app.openAs("alice", `/sessions/${downloadSessionId}`);
  await page.getByText("There is no such session").waitFor();
  await page.getByRole("link", { name: "All sessions" }).click();
  await page.getByRole("heading", { name: "Sessions", exact: true }).waitFor();
  expect(await page.getByTitle(downloadSessionId).count()).toBe(0);
});
